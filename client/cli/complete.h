// What can come next on the command line, for the shells' completion.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace pmshelf::cli {

// What the word under the cursor can be.
struct Completion {
  enum class Ask { kNothing, kFiles, kShelves, kRegions, kPools };
  std::vector<std::string> words;    // candidates that are known here; all begin with the word
  Ask ask = Ask::kNothing;           // candidates that others know: the daemon, the shell
  std::vector<std::string> globals;  // connection options that stand on the line, with values
};

// The command that `words` lead to: the root for none.
const CLI::App& command_of(const CLI::App& root, const std::vector<std::string>& words);

// `words`: what follows the program's name, the last being the (perhaps empty) word to complete.
Completion complete(const CLI::App& root, const std::vector<std::string>& words);

// The function that a shell sources: "bash", "zsh" or "fish". All of them ask
// `pmshelf __complete -- WORDS`, which prints one candidate a line; a first line ":files" asks for
// file names, ":nospace" for no blank after the candidate.
std::string completion_script(const std::string& shell);

}  // namespace pmshelf::cli
