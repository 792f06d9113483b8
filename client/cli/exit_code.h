// What the tool's exit codes mean (pmshelf.1, "EXIT STATUS") and what to do about an error.
#pragma once

#include <string>

#include "pmshelf/error.h"

namespace pmshelf::cli {

// The contract with scripts: numbers never change meaning.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // anything without a number of its own; the message says what
  kExitUsage = 2,        // fix the command line; a destructive command without --yes
  kExitUnreachable = 3,  // no daemon answered
  kExitNotFound = 4,     // no such thing, or none you may know of
  kExitDenied = 5,       // not allowed, or not authenticated
  kExitConflict = 6,     // exists already, locked, busy, or changed meanwhile
  kExitNoSpace = 7,      // shelf, pool or a named limit is full
  kExitDamage = 8,       // damage found on media
};

ExitCode exit_code(Code code);

// The cure, in one line without a full stop; "" where the message says all there is.
std::string hint(const Error& error);

// "pmshelf: region put: MESSAGE\n" and, where there is one, "pmshelf: hint: CURE\n".
std::string error_report(std::string_view what, const Error& error);

}  // namespace pmshelf::cli
