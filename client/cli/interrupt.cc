#include "client/cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace pmshelf::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<int> g_signal{0};
int g_pipe[2] = {-1, -1};

// Async-signal-safe calls only.
void on_alarm(int) {
  const int number = g_signal.load();
  ::signal(number, SIG_DFL);
  ::raise(number);
  ::_exit(128 + number);
}

void on_signal(int number) {
  g_signal.store(number);
  const char mark = 1;
  [[maybe_unused]] const ssize_t written = ::write(g_pipe[1], &mark, 1);
  for (const int other : kSignals) ::signal(other, SIG_DFL);
  ::alarm(kInterruptGraceSeconds);
}

}  // namespace

void Interrupt::install() {
  if (g_pipe[0] >= 0 || ::pipe2(g_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;
  struct sigaction action = {};
  action.sa_handler = on_alarm;
  ::sigaction(SIGALRM, &action, nullptr);
  action.sa_handler = on_signal;
  for (const int number : kSignals) {
    struct sigaction before = {};
    ::sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(number, &action, nullptr);  // nohup stays nohup
  }
}

Status Interrupt::check() {
  if (g_signal.load() == 0) return {};
  return Error(Code::kUnknownOutcome, "interrupted");
}

int Interrupt::signal_number() { return g_signal.load(); }
int Interrupt::fd() { return g_pipe[0]; }

void Interrupt::resume() {
  const int number = g_signal.load();
  if (number == 0) return;
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void end_by_broken_pipe() {
  ::signal(SIGPIPE, SIG_DFL);
  ::raise(SIGPIPE);
  ::_exit(128 + SIGPIPE);
}

}  // namespace pmshelf::cli
