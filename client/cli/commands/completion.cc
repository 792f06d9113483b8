// pmshelf completion SHELL, and what its scripts call
#include <memory>

#include "client/cli/command_line.h"
#include "client/cli/complete.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

constexpr uint64_t kAnswerWithinMs = 1000;
constexpr uint32_t kCandidatesMax = 200;

// Names with line ends or control characters cannot be completed.
void print_candidate(Context& context, const std::string& word) {
  if (escape(word) == word) context.print(word + "\n");
}

Status print_regions(Context& context, const Client& client, const std::string& word) {
  const auto path = parse_shelf_prefix(word);
  if (word.find('/') == std::string::npos || !path) {
    PMSHELF_TRY_ASSIGN(const auto shelves, client.list_shelves(word + "*"));
    context.print(":nospace\n");
    for (const ShelfStat& shelf : shelves) print_candidate(context, shelf.name + "/");
    return {};
  }
  PMSHELF_TRY_ASSIGN(const Shelf shelf, client.open_shelf(path->shelf));
  ListOptions options;
  options.prefix = path->region;
  options.limit = kCandidatesMax;
  PMSHELF_TRY_ASSIGN(const ListPage page, shelf.list(options));
  for (const RegionStat& region : page.regions) {
    print_candidate(context, path->shelf + "/" + region.name);
  }
  return {};
}

// Asks the daemon that the line names, unless that would start one.
Status print_known_to_daemon(Context& context, const Completion& completion,
                             const std::string& word) {
  std::vector<std::string> line = completion.globals;
  line.emplace_back("version");
  CommandLine named;
  if (named.parse(std::move(line))) return {};
  if (named.globals().connect.target.rfind("dir:", 0) == 0) return {};
  named.globals().timeout_ms = kAnswerWithinMs;
  const Context daemon(named.globals());
  PMSHELF_TRY_ASSIGN(const Client client, daemon.connect());
  switch (completion.ask) {
    case Completion::Ask::kRegions:
      return print_regions(context, client, word);
    case Completion::Ask::kShelves: {
      PMSHELF_TRY_ASSIGN(const auto shelves, client.list_shelves(word + "*"));
      for (const ShelfStat& shelf : shelves) print_candidate(context, shelf.name);
      return {};
    }
    case Completion::Ask::kPools: {
      PMSHELF_TRY_ASSIGN(const auto pools, client.list_pools());
      for (const PoolStat& pool : pools) {
        if (pool.name.rfind(word, 0) == 0) print_candidate(context, pool.name);
      }
      return {};
    }
    case Completion::Ask::kNothing:
    case Completion::Ask::kFiles:
      break;
  }
  return {};
}

// A completion that finds nothing is silent.
Result<int> answer(Context& context, const CLI::App& root, const std::vector<std::string>& words) {
  const Completion completion = complete(root, words);
  if (completion.ask == Completion::Ask::kFiles) context.print(":files\n");
  for (const std::string& word : completion.words) print_candidate(context, word);
  const bool asks =
      completion.ask != Completion::Ask::kNothing && completion.ask != Completion::Ask::kFiles;
  if (!asks) return kExitOk;
  const Status asked =
      print_known_to_daemon(context, completion, words.empty() ? "" : words.back());
  return asked.ok() ? kExitOk : exit_code(asked.code());
}

}  // namespace

void add_completion_commands(CLI::App& root, Chosen& chosen) {
  const auto shell = std::make_shared<std::string>();
  CLI::App& command =
      add_command(root, chosen, "completion", "Print the completion script of a shell",
                  "  pmshelf completion bash >~/.local/share/bash-completion/completions/pmshelf\n"
                  "  pmshelf completion zsh >~/.zfunc/_pmshelf\n"
                  "  pmshelf completion fish >~/.config/fish/completions/pmshelf.fish",
                  [shell](Context& context) -> Result<int> {
                    PMSHELF_TRY(refuse_json(context, "a script is no document"));
                    context.print(completion_script(*shell));
                    return kExitOk;
                  });
  command.add_option("bash|zsh|fish", *shell, "Which shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}).description(""))
      ->type_name("");

  // The words of the line being typed are taken as they are: options in them are not ours.
  CLI::App* words = root.add_subcommand("__complete", "Candidates for the last of the words");
  words->group("");
  words->prefix_command();
  words->callback([&root, &chosen] {
    chosen.name = "completion";
    chosen.action = [&root, &chosen](Context& context) {
      return answer(context, root, chosen.trailing);
    };
  });
}

}  // namespace pmshelf::cli
