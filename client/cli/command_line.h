// The whole command line: global options and the tree of commands.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/cli/commands/commands.h"

namespace pmshelf::cli {

// Owns what parsing fills. Not movable: options point into it.
class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // Fills globals() and chosen(). What to do next: run chosen() (nullopt), or print a text and end
  // (help, version, or a mistake on the line).
  struct Stop {
    int exit_code;
    std::string text;  // for standard output when exit_code is 0, else for standard error
  };
  // `words`: without the program's name. Call once.
  std::optional<Stop> parse(std::vector<std::string> words);

  CLI::App& app() { return app_; }
  GlobalOptions& globals() { return globals_; }
  const Chosen& chosen() const { return chosen_; }

 private:
  void add_global_options();
  void add_connection_options();
  void settle_target();
  std::vector<std::string> take_trailing(std::vector<std::string> words);

  CLI::App app_;
  GlobalOptions globals_;
  Chosen chosen_;
  std::string directory_;
};

}  // namespace pmshelf::cli
