#include "server/app/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "server/app/options.h"

namespace pmshelf::app {
namespace {

constexpr size_t kReportBytesMax = 4096;  // one write to a pipe is atomic up to this

void write_quietly(int fd, std::string_view text) {
  // Nobody may be listening any more; then nobody needs to know.
  [[maybe_unused]] const ssize_t ignored = ::write(fd, text.data(), text.size());
}

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "pmshelfd: %s: %s\n", what, std::strerror(errno));
  std::_Exit(kExitFailure);
}

// Waits for the background process and ends like it: one byte of status, then the message.
[[noreturn]] void wait_and_exit(int status_fd, int ready_fd, pid_t child) {
  std::array<char, kReportBytesMax> report{};
  size_t length = 0;
  while (length < report.size()) {
    const ssize_t count = ::read(status_fd, report.data() + length, report.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += static_cast<size_t>(count);
  }
  if (length > 0) {
    const std::string_view message(report.data() + 1, length - 1);
    if (report[0] != 0) write_quietly(STDERR_FILENO, message);
    std::_Exit(report[0]);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  constexpr std::string_view kDied = "ERROR pmshelfd died while it started\n";
  if (ready_fd >= 0) write_quietly(ready_fd, kDied);
  write_quietly(STDERR_FILENO, kDied);
  std::_Exit(kExitFailure);
}

// Standard input, output and error lead nowhere; all others but the kept ones are closed.
void let_go(int status_fd, int ready_fd) {
  const int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0) die("/dev/null");
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(null_fd, fd) < 0) die("dup2");
  }
  const int low = ready_fd < 0 ? status_fd : std::min(status_fd, ready_fd);
  const int high = std::max(status_fd, ready_fd);
  const auto close_between = [](int first, int last) {
    if (first <= last) ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0);
  };
  close_between(STDERR_FILENO + 1, low - 1);
  close_between(low + 1, high - 1);
  ::close_range(static_cast<unsigned>(high) + 1, ~0U, 0);
}

}  // namespace

void ReadyReport::report(int exit_status, const std::string& line) {
  if (!status_) return;
  const std::string text = line.substr(0, kReportBytesMax - 2) + "\n";
  if (ready_) write_quietly(ready_.get(), text);
  write_quietly(status_.get(), static_cast<char>(exit_status) + text);
  ready_.reset();
  status_.reset();
}

void ReadyReport::ready(const std::string& data_socket) { report(0, "READY " + data_socket); }

void ReadyReport::failed(int exit_status, const std::string& message) {
  std::string line = "ERROR " + message;
  for (char& letter : line) {
    if (letter == '\n') letter = ' ';
  }
  report(exit_status, line);
}

ReadyReport go_to_background(int ready_fd) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) die("pipe");
  const pid_t child = ::fork();
  if (child < 0) die("fork");
  if (child > 0) {
    ::close(ends[1]);
    wait_and_exit(ends[0], ready_fd, child);
  }
  ::setsid();
  if (::chdir("/") != 0) die("chdir /");
  let_go(ends[1], ready_fd);
  if (ready_fd >= 0) ::fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  return {UniqueFd(ends[1]), UniqueFd(ready_fd)};
}

}  // namespace pmshelf::app
