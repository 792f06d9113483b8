// A command run as a child of the tool.
#pragma once

#include <string>
#include <vector>

#include "pmshelf/result.h"

namespace pmshelf::cli {

// Runs `words` (searched in $PATH, default signal handling) on this terminal and waits for its end.
// Ctrl-C and Ctrl-\ are left to the child, SIGTERM and SIGHUP are passed on to it.
// Returns its exit status, 128 + N when signal N ended it, 127 when there is no such program, 126
// when it cannot be run. kIo when no process can be made. Call from the main thread, once.
Result<int> run_child(const std::vector<std::string>& words);

}  // namespace pmshelf::cli
