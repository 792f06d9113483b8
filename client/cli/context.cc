#include "client/cli/context.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

constexpr size_t kAnswerBytesMax = 256;

void put_line(std::FILE* stream, const std::string& line) {
  std::fputs((line + "\n").c_str(), stream);
}

}  // namespace

Result<Client> Context::connect(const std::string& target, const std::string& token_file) const {
  ConnectOptions options = options_.connect;
  if (!target.empty()) options.target = target;
  if (!token_file.empty()) options.token_file = token_file;
  const std::chrono::milliseconds timeout(options_.timeout_ms);
  options.connect_timeout = std::min(kConnectTimeout, timeout);
  options.call_timeout = timeout;
  options.reconnect_timeout = timeout;
  auto client = Client::connect(options);
  if (client.code() == Code::kDeadlineExceeded) {
    return Error(Code::kUnavailable, client.error().message());
  }
  return client;
}

void Context::print(std::string_view text) {
  if (out_errno_ != 0) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) out_errno_ = errno;
}

void Context::flush() {
  if (out_errno_ == 0 && std::fflush(stdout) != 0) out_errno_ = errno;
}

bool Context::out_is_terminal() const { return ::isatty(STDOUT_FILENO) == 1; }

void Context::note(const std::string& line) {
  if (!options_.quiet && !options_.json) print(line + "\n");
}

void Context::note_aside(const std::string& line) const {
  if (!options_.quiet && !options_.json) put_line(stderr, line);
}

void Context::warn(const std::string& line) const { put_line(stderr, "pmshelf: " + line); }

Status Context::require_consent() const {
  if (options_.yes || (::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1)) return {};
  return Error(Code::kInvalidArgument,
               "this cannot be undone and there is no terminal to ask on: add --yes to do it");
}

bool Context::ask(const std::string& question) const {
  if (options_.yes) return true;
  std::fputs(("pmshelf: " + escape(question) + " [y/N] ").c_str(), stderr);
  std::fflush(stderr);
  char answer[kAnswerBytesMax];
  const char* line = std::fgets(answer, sizeof answer, stdin);
  if (line == nullptr) std::fputs("\n", stderr);
  const std::string_view said = line == nullptr ? "" : std::string_view(line);
  if (said == "y\n" || said == "Y\n" || said == "yes\n") return true;
  put_line(stderr, "pmshelf: nothing was changed");
  return false;
}

int Context::finish(int exit_code) {
  flush();
  if (out_errno_ == 0) return exit_code;
  if (out_errno_ == EPIPE) end_by_broken_pipe();
  warn(std::string("standard output: ") + std::strerror(out_errno_));
  return exit_code == kExitOk ? static_cast<int>(kExitFailed) : exit_code;
}

}  // namespace pmshelf::cli
