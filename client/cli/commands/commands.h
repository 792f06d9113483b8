// The commands. Each family adds its part of the command line; what was chosen runs after the whole
// line has been understood.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "client/cli/context.h"

namespace pmshelf::cli {

// What a command does: the exit code, or the error that main reports.
using Action = std::function<Result<int>(Context&)>;

// The chosen command. Filled while the command line is parsed.
struct Chosen {
  std::string name;  // "region put", for messages
  Action action;
  std::vector<std::string> trailing;  // what follows "--", for commands that take other commands
};

void add_pool_commands(CLI::App& root, Chosen& chosen);
void add_shelf_commands(CLI::App& root, Chosen& chosen);
void add_region_commands(CLI::App& root, Chosen& chosen);
void add_transfer_commands(CLI::App& region, Chosen& chosen);  // put, get, cp
void add_lock_command(CLI::App& region, Chosen& chosen);
void add_session_commands(CLI::App& root, Chosen& chosen);
void add_token_commands(CLI::App& root, Chosen& chosen);
void add_daemon_commands(CLI::App& root, Chosen& chosen);  // status, ping, top, version
void add_completion_commands(CLI::App& root, Chosen& chosen);

// ---- for the families

// A command word below `parent`; what follows may be global options as well.
CLI::App& add_group(CLI::App& parent, const std::string& name, const std::string& description);
// A command that runs `action`. `examples`: lines for the end of its --help.
CLI::App& add_command(CLI::App& parent, Chosen& chosen, const std::string& name,
                      const std::string& description, const std::string& examples, Action action);
// A required argument, shown as NAME. Completion looks at the name: SHELF, SHELF/REGION, POOL,
// FILE.
CLI::Option& add_argument(CLI::App& command, const std::string& name, std::string& value,
                          const std::string& description);
// Sizes such as 4096, 64MiB, 10GB; durations such as 500ms, 30s, 7d, within the limits.
CLI::Validator size_value();
CLI::Validator duration_value(uint64_t ms_min, uint64_t ms_max);

// An option whose value is one of a few words.
template <class T>
CLI::Option& add_choice(CLI::App& command, const std::string& name,
                        const std::vector<std::pair<std::string, T>>& choices,
                        std::function<void(T)> set, const std::string& description) {
  std::string words;
  for (const auto& choice : choices) words += (words.empty() ? "" : "|") + choice.first;
  const auto take = [name, choices, words, set = std::move(set)](const std::string& word) {
    for (const auto& choice : choices) {
      if (choice.first == word) return set(choice.second);
    }
    throw CLI::ValidationError(name, "'" + word + "' is none of " + words);
  };
  return *command.add_option_function<std::string>(name, take, description)->type_name(words);
}

// kInvalidArgument for commands whose standard output is not ours to write a document to.
Status refuse_json(const Context& context, std::string_view why);

}  // namespace pmshelf::cli
