#include "client/cli/child.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace pmshelf::cli {
namespace {

constexpr int kExitNotRunnable = 126;
constexpr int kExitNoProgram = 127;

std::atomic<pid_t> g_child{0};

void pass_on(int number) {
  if (const pid_t child = g_child.load(); child > 0) ::kill(child, number);
}

int start(const std::vector<std::string>& words, pid_t& child) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  sigset_t defaults, none;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE}) {
    sigaddset(&defaults, number);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const int failure =
      ::posix_spawnp(&child, arguments[0], nullptr, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  return failure;
}

}  // namespace

Result<int> run_child(const std::vector<std::string>& words) {
  for (const int number : {SIGINT, SIGQUIT}) std::signal(number, SIG_IGN);
  struct sigaction action = {};
  action.sa_handler = pass_on;
  for (const int number : {SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  pid_t child = 0;
  if (const int failure = start(words, child); failure != 0) {
    if (failure == EAGAIN || failure == ENOMEM) {
      return Error(Code::kIo, words[0] + ": " + std::strerror(failure));
    }
    std::fprintf(stderr, "pmshelf: %s: %s\n", words[0].c_str(), std::strerror(failure));
    return failure == ENOENT ? kExitNoProgram : kExitNotRunnable;
  }
  g_child.store(child);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Error(Code::kIo, std::string("wait: ") + std::strerror(errno));
  }
  g_child.store(0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace pmshelf::cli
