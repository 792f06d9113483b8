// The command line of pmshelfd.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pmshelf::app {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;           // command line or configuration
inline constexpr int kExitAlreadyServed = 75;  // --private: another daemon serves the directory

struct Options {
  std::string config_file;  // empty: the default one, if it exists
  bool check_config = false;
  bool print_config = false;
  // Private daemon for one directory (docs/protocol.md, "Finding the daemon").
  std::string private_dir;
  uint64_t idle_exit_ms = 10'000;
  int ready_fd = -1;
  // Builds with PMSHELF_TEST_HOOKS only.
  std::optional<uint64_t> mirror_seed;
  std::string mutant;
};

// What main does next: run with the options, or end at once with a status (help, version, errors;
// all output has been written).
struct Parsed {
  Options options;
  std::optional<int> exit_status;
};
Parsed parse_command_line(int argc, const char* const* argv);

}  // namespace pmshelf::app
