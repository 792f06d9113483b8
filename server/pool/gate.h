// Counts what goes on in a shelf, so that erasing it can wait, or refuse.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "pmshelf/result.h"

namespace pmshelf::pool {

// Owner: the shelf, shared with its region references. Any thread. A call is short (it ends by
// itself), a hold is long (an open region).
class Gate {
 public:
  // kNotFound: shut for good; kUnavailable: about to be. Each ok is ended by leave().
  Status enter();
  void leave();
  void hold();  // within a call
  void drop();

  // Keeps new calls out and waits for the running ones, then leaves the gate so. kBusy: holds.
  // Each ok is ended by one of reopen() and shut().
  Status close();
  void reopen();
  void shut();

 private:
  enum class State : uint8_t { kOpen, kClosed, kShut };

  std::mutex mutex_;
  std::condition_variable idle_;
  State state_ = State::kOpen;
  uint64_t calls_ = 0;
  uint64_t holds_ = 0;
};

}  // namespace pmshelf::pool
