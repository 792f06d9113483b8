#include "client/cli/complete.h"

#include <algorithm>

namespace pmshelf::cli {
namespace {

using Ask = Completion::Ask;

bool begins_with(const std::string& text, const std::string& front) {
  return text.compare(0, front.size(), front) == 0;
}

const CLI::Option* find_option(const CLI::App* app, const std::string& word) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(word)) return option;
  }
  return nullptr;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// Values are told by the names that the help shows: FILE, POOL, SHELF/REGION, local|tcp ...
void complete_value(const std::string& kind, const std::string& word, Completion& completion) {
  if (kind == "FILE" || kind == "DIR") {
    completion.ask = Ask::kFiles;
  } else if (kind == "POOL") {
    completion.ask = Ask::kPools;
  } else if (kind == "SHELF") {
    completion.ask = Ask::kShelves;
  } else if (begins_with(kind, "SHELF/") || begins_with(kind, "SHELF[/")) {
    completion.ask = Ask::kRegions;
  } else if (kind.find('|') != std::string::npos) {
    for (size_t at = 0; at <= kind.size();) {
      const size_t end = std::min(kind.find('|', at), kind.size());
      const std::string choice = kind.substr(at, end - at);
      if (begins_with(choice, word)) completion.words.push_back(choice);
      at = end + 1;
    }
  }
}

void complete_option(const CLI::App* app, const std::string& word, Completion& completion) {
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        const std::string text = "--" + name;
        if (begins_with(text, word)) completion.words.push_back(text);
      }
    }
  }
  std::sort(completion.words.begin(), completion.words.end());
  completion.words.erase(std::unique(completion.words.begin(), completion.words.end()),
                         completion.words.end());
}

const CLI::Option* positional_at(const CLI::App& app, size_t index) {
  const CLI::Option* last = nullptr;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    last = option;
    if (index-- == 0) return option;
  }
  const bool repeats = last != nullptr && last->get_items_expected_max() > 1;
  return repeats ? last : nullptr;
}

const CLI::App* find_command(const CLI::App& app, const std::string& word) {
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_name() == word) return command;
  }
  return nullptr;
}

// Where on the tree the line has got to before the word under the cursor.
struct Place {
  const CLI::App* app = nullptr;
  const CLI::Option* pending = nullptr;  // its value comes next
  size_t positionals = 0;
  bool words_are_foreign = false;  // after "--"
};

Place walk(const CLI::App& root, const std::vector<std::string>& words, Completion& completion) {
  Place place{&root};
  for (size_t i = 0; i + 1 < words.size() && !place.words_are_foreign; ++i) {
    const std::string& word = words[i];
    if (place.pending != nullptr) {
      if (place.pending->get_group() == "Connection options") {
        completion.globals.push_back(words[i - 1]);
        completion.globals.push_back(word);
      }
      place.pending = nullptr;
    } else if (word == "--") {
      place.words_are_foreign = true;
    } else if (word.size() > 1 && word[0] == '-') {
      const CLI::Option* option = find_option(place.app, word);
      if (option != nullptr && takes_value(*option)) place.pending = option;
    } else if (const CLI::App* command = find_command(*place.app, word)) {
      place.app = command;
      place.positionals = 0;
    } else {
      ++place.positionals;
    }
  }
  return place;
}

constexpr const char* kBash = R"(# bash completion for pmshelf; source it or put it into
# /usr/share/bash-completion/completions/pmshelf
_pmshelf() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files) compopt -o default ;;
      :nospace) compopt -o nospace ;;
      *) printf -v line %q "$line"; COMPREPLY+=("$line") ;;
    esac
  done < <(pmshelf __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _pmshelf pmshelf
)";

constexpr const char* kZsh = R"(#compdef pmshelf
# zsh completion for pmshelf; put it as _pmshelf into a folder of $fpath
_pmshelf() {
  local line suffix=' '
  local -a found
  for line in "${(@f)$(pmshelf __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :files) _files; return ;;
      :nospace) suffix='' ;;
      ?*) found+=("$line") ;;
    esac
  done
  compadd -S "$suffix" -a found
}
if [ "$funcstack[1]" = "_pmshelf" ]; then
  _pmshelf "$@"
else
  compdef _pmshelf pmshelf
fi
)";

constexpr const char* kFish =
    R"(# fish completion for pmshelf; put it into ~/.config/fish/completions/pmshelf.fish
function __pmshelf_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (pmshelf __complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':nospace'
            case '*'
                echo $line
        end
    end
end
complete -c pmshelf -f -a '(__pmshelf_complete)'
)";

}  // namespace

const CLI::App& command_of(const CLI::App& root, const std::vector<std::string>& words) {
  std::vector<std::string> before_cursor = words;
  before_cursor.emplace_back();
  Completion unused;
  return *walk(root, before_cursor, unused).app;
}

Completion complete(const CLI::App& root, const std::vector<std::string>& words) {
  Completion completion;
  const std::string word = words.empty() ? "" : words.back();
  const Place place = walk(root, words, completion);
  if (place.words_are_foreign) {
    completion.ask = Ask::kFiles;
  } else if (place.pending != nullptr) {
    complete_value(place.pending->get_type_name(), word, completion);
  } else if (!word.empty() && word[0] == '-') {
    complete_option(place.app, word, completion);
  } else if (const CLI::Option* positional = positional_at(*place.app, place.positionals)) {
    complete_value(positional->get_name(true), word, completion);
  } else {
    for (const CLI::App* command : place.app->get_subcommands({})) {
      const bool hidden = command->get_group().empty();
      if (!hidden && begins_with(command->get_name(), word)) {
        completion.words.push_back(command->get_name());
      }
    }
  }
  return completion;
}

std::string completion_script(const std::string& shell) {
  if (shell == "zsh") return kZsh;
  return shell == "fish" ? kFish : kBash;
}

}  // namespace pmshelf::cli
