// Ctrl-C in commands that have something to put away first.
#pragma once

#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf::cli {

// From the first install() on, SIGINT, SIGTERM and SIGHUP no longer end the process at once: they
// set a mark that loops look at, and make fd() readable for those who wait. The process has
// kInterruptGraceSeconds to end by itself; then, or at the second signal, it is ended.
// The state is the process's own (signal handlers have no other place). Any thread may look.
class Interrupt {
 public:
  static void install();
  // kUnknownOutcome "interrupted" after a signal.
  static Status check();
  static int signal_number();  // 0: none
  static int fd();             // -1 before install()
  // Ends the process by the signal that interrupted it, as its parent expects; returns if none did.
  static void resume();
};

// What happens to a program that does not ignore SIGPIPE when the reader of its output has gone.
// The tool ignores it, because sockets raise it as well, and calls this for standard output.
[[noreturn]] void end_by_broken_pipe();

inline constexpr unsigned kInterruptGraceSeconds = 3;

}  // namespace pmshelf::cli
