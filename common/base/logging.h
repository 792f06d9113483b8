// Logging set-up. Everything logs through spdlog's default logger, configured once by main.
#pragma once

#include <string>
#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf {

struct LogOptions {
  std::string level = "info";   // trace, debug, info, warn, error, off
  std::string format = "text";  // text or json (one object a line)
  std::string file;             // empty: standard error
};

// Installs the process-wide logger. kInvalidArgument names a bad level or format; kIo a file that
// cannot be opened. Call before any thread starts, and again on SIGHUP to re-open the file.
Status set_up_logging(const LogOptions& options);

// Escapes `text` for a JSON string literal (no quotes around it). Control characters, quotes,
// backslashes; invalid UTF-8 becomes U+FFFD, so that a line is always valid JSON.
std::string json_escape(std::string_view text);

}  // namespace pmshelf
