// Daemons for "dir:" targets: found by the pool's lock file, or started.
#pragma once

#include <chrono>
#include <string>

#include "client/src/environment.h"
#include "client/src/locator.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

// How often a client looks again while somebody else's daemon starts or ends.
inline constexpr std::chrono::milliseconds kPrivateDaemonPoll{20};

// Path of pmshelfd: `daemon_path` when given (kInvalidArgument: not executable); else beside this
// program, beside or in ../bin of this library, then $PATH. kNotFound says where it looked.
Result<std::string> find_daemon_program(const std::string& daemon_path,
                                        const Environment& environment);

// Line 2 of DIR/pmshelfd.lock, or "" when there is none that could be a socket path.
std::string socket_in_lock_file(const std::string& directory);

// The data.sock of the daemon that serves `directory`: the one that its lock file names when that
// accepts, else a private one, started here. However many processes do this at once, one daemon
// serves in the end and all of them get it: the daemon's own lock decides, losers look again.
// The daemon does not stay our child. kInvalidArgument: no such directory; kNotFound: no pmshelfd;
// kDeadlineExceeded: not ready in time; otherwise kUnavailable with the daemon's own words.
Result<std::string> find_or_start_daemon(const std::string& directory,
                                         const std::string& daemon_path,
                                         const Environment& environment, Time deadline);

}  // namespace pmshelf::client
