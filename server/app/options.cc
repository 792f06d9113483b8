#include "server/app/options.h"

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/base/units.h"
#include "server/app/version.h"

namespace pmshelf::app {
namespace {

constexpr const char* kDescription =
    "pmshelfd owns pools of persistent memory on this host and serves named regions of them.\n"
    "Without options it reads the default configuration file, if there is one; without a file it\n"
    "serves a pool of its own on the loopback interface and on Unix sockets.";

constexpr const char* kFooter =
    "Signals: TERM, INT: finish what is running, then end; a second one: end at once.\n"
    "HUP: re-open the log, re-read what can change.\n"
    "Exit status: 0 ended as asked; 1 failed; 2 command line or configuration; 75 --private: "
    "another "
    "daemon serves the directory.";

// A duration for CLI11: reports its own message.
std::string check_duration(const std::string& text) {
  const Result<uint64_t> parsed = parse_duration_ms(text);
  return parsed.ok() ? std::string() : parsed.error().message();
}

// `idle_exit` is the text of the duration.
void add_private_options(CLI::App& cli, Options& options, std::string& idle_exit) {
  CLI::Option* private_dir =
      cli.add_option("--private", options.private_dir,
                     "Serve exactly this directory to this user, in the background, until nobody "
                     "needs it any more")
          ->type_name("DIR")
          ->excludes("--config")
          ->excludes("--check-config")
          ->excludes("--print-config");
  cli.add_option("--idle-exit", idle_exit, "With --private: end this long after the last session")
      ->type_name("DURATION")
      ->capture_default_str()
      ->check(CLI::Validator(check_duration, ""))
      ->needs(private_dir);
  cli.add_option("--ready-fd", options.ready_fd,
                 "With --private: write READY or ERROR to this descriptor")
      ->type_name("N")
      ->check(CLI::Range(3, 1 << 20))
      ->needs(private_dir);
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  Parsed parsed;
  Options& options = parsed.options;
  std::string idle_exit = format_duration_ms(options.idle_exit_ms);
  CLI::App cli(kDescription, "pmshelfd");
  cli.footer(kFooter);
  cli.set_version_flag("--version", "pmshelfd " PMSHELF_VERSION);
  cli.add_option("-c,--config", options.config_file, "Configuration file (TOML)")
      ->type_name("FILE");
  cli.add_flag("--check-config", options.check_config,
               "Check the configuration against this machine and end");
  cli.add_flag("--print-config", options.print_config,
               "Print the configuration in force as TOML and end");
  add_private_options(cli, options, idle_exit);
#ifdef PMSHELF_TEST_HOOKS
  cli.add_option("--mirror", options.mirror_seed,
                 "Test builds: keep pools on mirror media with this seed")
      ->type_name("SEED");
  cli.add_option("--mutant", options.mutant, "Test builds: run with this seeded bug")
      ->type_name("NAME");
#endif
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = cli.exit(error);  // writes help, version or the message
    parsed.exit_status = status == 0 ? 0 : kExitUsage;
    return parsed;
  }
  options.idle_exit_ms = *parse_duration_ms(idle_exit);
  if (options.ready_fd >= 0 && ::fcntl(options.ready_fd, F_GETFD) < 0) {
    std::cerr << "--ready-fd: descriptor " << options.ready_fd << " is not open\n";
    parsed.exit_status = kExitUsage;
  }
  return parsed;
}

}  // namespace pmshelf::app
