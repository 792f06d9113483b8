// A private daemon's way into the background, and how it tells its starter what became of it.
#pragma once

#include <string>
#include <utility>

#include "common/base/unique_fd.h"

namespace pmshelf::app {

// What the background process owes its starter: one report, of success or failure. Owner: main.
// Destroyed without a report it says that the daemon died, which is what has happened then.
class ReadyReport {
 public:
  ReadyReport(UniqueFd status, UniqueFd ready)
      : status_(std::move(status)), ready_(std::move(ready)) {}
  void ready(const std::string& data_socket);
  // `exit_status`: with which the starting process ends.
  void failed(int exit_status, const std::string& message);

 private:
  void report(int exit_status, const std::string& line);

  UniqueFd status_;  // to the process that was started
  UniqueFd ready_;   // --ready-fd
};

// Forks. The process that was started stays until the report (then ends with its status: it never
// returns from here); this returns in the background process, which has a new session, "/" as its
// folder, no terminal, and no other descriptors. Messages of failures also go to the starter's
// standard error. Call before any thread and any log. On failure ends the process with a message.
ReadyReport go_to_background(int ready_fd);

}  // namespace pmshelf::app
