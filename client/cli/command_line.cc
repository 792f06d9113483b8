#include "client/cli/command_line.h"

#include <algorithm>
#include <cstdlib>

#include "client/cli/complete.h"
#include "client/cli/exit_code.h"
#include "client/cli/help.h"
#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

constexpr uint64_t kDayMs = 86'400'000;

constexpr const char* kFooter =
    R"(Sizes are written 4096, 64KiB, 1GiB or 10GB; durations 500ms, 30s, 10m, 12h, 7d.
Regions are written SHELF/REGION.

Exit codes: 0 done; 1 failed; 2 usage, or --yes is missing; 3 no daemon answers;
4 not found; 5 denied or not authenticated; 6 exists, locked, busy or changed;
7 no space or a limit; 8 damage found.

Examples:
  pmshelf status
  pmshelf shelf create train 64GiB
  pmshelf region put train/w w.npy
  pmshelf --target host7 region ls train --json
  pmshelf --dir /mnt/pmem0/me shelf ls   # starts a private daemon if need be

'pmshelf COMMAND --help' says more; so does the manual, pmshelf(1).)";

std::string usage_report(const CLI::App& app, std::string message) {
  const CLI::App* deepest = &app;
  std::string command = "pmshelf";
  for (auto chosen = deepest->get_subcommands(); !chosen.empty();
       chosen = deepest->get_subcommands()) {
    deepest = chosen.front();
    command += " " + deepest->get_name();
  }
  if (deepest->get_require_subcommand_min() > 0) {  // none was understood
    const auto words = app.remaining(true);
    message = words.empty() ? "a command is missing" : "there is no command '" + words[0] + "'";
  }
  return "pmshelf: usage: " + escape(message) + "\npmshelf: hint: '" + command +
         " --help' shows what can be written\n";
}

}  // namespace

CommandLine::CommandLine()
    : app_("pmshelf: shelves of persistent memory, here and on other hosts", "pmshelf") {
  app_.require_subcommand(1);
  app_.formatter(std::make_shared<HelpFormatter>());
  app_.set_version_flag("--version", "pmshelf " + std::string(version()), "Same as 'version'");
  add_global_options();
  add_connection_options();
  add_daemon_commands(app_, chosen_);
  add_shelf_commands(app_, chosen_);
  add_region_commands(app_, chosen_);
  add_pool_commands(app_, chosen_);
  add_session_commands(app_, chosen_);
  add_token_commands(app_, chosen_);
  add_completion_commands(app_, chosen_);
  app_.footer(kFooter);
}

void CommandLine::add_global_options() {
  app_.add_flag("--json", globals_.json, "One JSON document instead of tables");
  app_.add_flag("--yes,-y", globals_.yes, "Do not ask before what cannot be undone");
  app_.add_flag("--quiet,-q", globals_.quiet,
                "No progress and no confirmations; listings print names only");
  app_.add_option("--timeout", globals_.timeout_ms, "Give up on one call after this; default: 30s")
      ->transform(duration_value(1, kDayMs))
      ->type_name("DURATION");
}

void CommandLine::add_connection_options() {
  ConnectOptions& connect = globals_.connect;
  constexpr const char* kGroup = "Connection options";
  CLI::Option* target =
      app_.add_option("--target,-t", connect.target,
                      "Which daemon: HOST, HOST:PORT, unix:/path/to/data.sock or dir:DIR; default: "
                      "$PMSHELF_TARGET, else the one on this host")
          ->type_name("TARGET")
          ->group(kGroup);
  app_.add_option("--dir", directory_,
                  "The pool in this directory, by a private daemon if none serves it")
      ->type_name("DIR")
      ->group(kGroup)
      ->excludes(target);
  add_choice<Path>(
      app_, "--path", {{"local", Path::kLocal}, {"tcp", Path::kTcp}},
      [&connect](Path path) { connect.path = path; },
      "Force the data path; default: the best there is")
      .group(kGroup);
  const auto add_file = [&](const char* name, std::string& value, const char* description) {
    app_.add_option(name, value, description)->type_name("FILE")->group(kGroup);
  };
  add_file("--token-file", connect.token_file,
           "Holds the token; default: $PMSHELF_TOKEN, else ~/.config/pmshelf/token");
  add_file("--ca", connect.ca_file, "Certificates that the daemon's must come from");
  add_file("--cert", connect.cert_file, "Own certificate, where certificates say who you are");
  add_file("--key", connect.key_file, "Its private key");
}

void CommandLine::settle_target() {
  std::string& target = globals_.connect.target;
  if (!directory_.empty()) {
    target = "dir:" + directory_;
  } else if (const char* from_environment = std::getenv("PMSHELF_TARGET");
             target.empty() && from_environment != nullptr) {
    target = from_environment;
  }
}

// What follows the first "--" belongs to the command after it, where there is one; CLI11 would
// split some of these words.
std::vector<std::string> CommandLine::take_trailing(std::vector<std::string> words) {
  const auto dashes = std::find(words.begin(), words.end(), "--");
  const std::vector<std::string> own(words.begin(), dashes);
  if (dashes == words.end() || !command_of(app_, own).get_prefix_command()) return words;
  chosen_.trailing.assign(dashes + 1, words.end());
  return own;
}

std::optional<CommandLine::Stop> CommandLine::parse(std::vector<std::string> words) {
  words = take_trailing(std::move(words));
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app_.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    return Stop{kExitOk, app_.help()};
  } catch (const CLI::CallForVersion& version_asked) {
    return Stop{kExitOk, std::string(version_asked.what()) + "\n"};
  } catch (const CLI::ExtrasError&) {
    return Stop{kExitUsage,
                usage_report(app_, "'" + app_.remaining(true).front() + "' was not expected")};
  } catch (const CLI::ParseError& mistake) {
    return Stop{kExitUsage, usage_report(app_, mistake.what())};
  }
  settle_target();
  return std::nullopt;
}

}  // namespace pmshelf::cli
