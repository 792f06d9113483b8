// A fault inside run_guarded() jumps back to it. The jump buffer of the running guarded call is
// reached through one thread-local pointer; nothing else is shared between threads.
#include "common/media/guard.h"

#include <ucontext.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <mutex>

#include "common/base/check.h"

namespace pmshelf::media {
namespace {

// Initial-exec: reading it in a signal handler must not allocate thread-local storage.
__attribute__((tls_model("initial-exec"))) constinit thread_local sigjmp_buf* volatile active =
    nullptr;

struct sigaction previous_action;

// Raised by the access of this very thread, not by kill() and not by the kernel's early warning
// of a poisoned page that nobody has touched (BUS_MCEERR_AO).
bool is_access_fault(const siginfo_t& info) {
  return info.si_code == BUS_ADRALN || info.si_code == BUS_ADRERR || info.si_code == BUS_OBJERR ||
         info.si_code == BUS_MCEERR_AR;
}

void pass_on(int signal_number, siginfo_t* info, void* context) {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal_number, info, context);
    return;
  }
  const bool ignored = previous_action.sa_handler == SIG_IGN;
  if (previous_action.sa_handler != SIG_DFL && !ignored) {
    previous_action.sa_handler(signal_number);
    return;
  }
  const bool access_fault = is_access_fault(*info);
  if (ignored && !access_fault) return;
  // The default effect. An access fault repeats when this handler returns, so that the core dump
  // shows the faulting instruction; anything else has to be raised again.
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &action, nullptr);
  if (!access_fault) raise(SIGBUS);
}

void on_sigbus(int signal_number, siginfo_t* info, void* context) {
  sigjmp_buf* const target = active;
  if (target != nullptr && is_access_fault(*info)) {
    // The mask of the faulting code. Restoring it here, not by sigsetjmp, saves a system call in
    // every guarded access.
    pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
    siglongjmp(*target, 1);
  }
  pass_on(signal_number, info, context);
}

}  // namespace

void install_sigbus_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Known before the handler can run.
    PMSHELF_CHECK(sigaction(SIGBUS, nullptr, &previous_action) == 0);
    struct sigaction action = {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    PMSHELF_CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
  });
}

bool run_guarded(void (*access)(void* context), void* context) {
  sigjmp_buf here;
  sigjmp_buf* const outer = active;
  if (sigsetjmp(here, 0) != 0) {
    active = outer;
    return false;
  }
  active = &here;
  // Keep the access between the two assignments, as seen by the signal handler.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  access(context);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  active = outer;
  return true;
}

bool guarded_copy(std::byte* target, const std::byte* source, size_t bytes) {
  return guarded([&] { std::memcpy(target, source, bytes); });
}

bool guarded_fill_zero(std::byte* target, size_t bytes) {
  return guarded([&] { std::memset(target, 0, bytes); });
}

bool guarded_store8(std::byte* target, uint64_t value) {
  // Volatile: one instruction, so never torn. Not an atomic: ThreadSanitizer holds a lock of its
  // own during those, and a fault would leave it locked.
  return guarded([&] { *reinterpret_cast<volatile uint64_t*>(target) = value; });
}

}  // namespace pmshelf::media
