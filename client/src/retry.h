// When a data call is tried again, and what its caller is told in the end.
#pragma once

#include <chrono>

#include "client/src/core.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

// How often one call accepts that the daemon calls its grant or handle stale.
inline constexpr int kStaleMax = 4;

// One object per call; not thread-safe. A call makes attempts: it attaches (session, grant,
// connection), sends, and waits. Attaching waits for a lost daemon itself, until deadline().
class Retry {
 public:
  // `repeat`: kFreely where a second application changes nothing (reads, flushes, writes of the
  // same bytes).
  Retry(Core& core, Repeat repeat) : core_(core), repeat_(repeat) {}

  // Until when to wait for a lost daemon: reconnect_timeout from the first failure, or from now
  // when there was none.
  Time deadline();

  // After an attempt that was sent. True: the caller may try again, perhaps after a pause here;
  // with a new grant or handle where the error means_stale(). `generation`: of the session. False:
  // `error` is what stood in the way.
  bool again(Error& error, uint64_t generation);
  // The attempt got somewhere before it failed: the time to wait for the daemon begins anew.
  void progressed() { failed_ = false; }

  // Asking for the grant or handle anew may help: it is gone, or the shelf's same-host policy has
  // changed, so that another path is needed.
  static bool means_stale(Code code) {
    return code == Code::kStaleGrant || code == Code::kUnsupported;
  }

  // What the caller is told when attaching failed with `error`, or when again() was false.
  Error attach_error(Error error) const;
  Error call_error(Error error) const;

 private:
  bool pause();

  Core& core_;
  const Repeat repeat_;
  bool failed_ = false;         // since the last progress
  bool maybe_applied_ = false;  // by an attempt whose answer was lost
  bool unsupported_before_ = false;
  int stale_ = 0;
  int renewals_ = 0;
  std::chrono::milliseconds pause_{0};  // none before the first repetition
  Time give_up_{};
};

}  // namespace pmshelf::client
