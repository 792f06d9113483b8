// Something that the daemon has given us in a session: a grant, or a shelf handle.
#pragma once

#include <memory>
#include <mutex>

#include "client/src/core.h"
#include "common/wire/frame.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

// What one attempt of a data call uses.
struct Attachment {
  ChannelPtr channel;
  wire::GrantId id;  // as frames carry it: of the grant, or {0, shelf handle}
  uint64_t generation = 0;
  uint64_t boot_epoch = 0;
};

// Base of GrantState and ShelfState: the id that the daemon knows the thing by in the current
// session, asked for again when the session is another one. Thread-safe. `attach` and `id_in`
// block; while they ask the daemon they hold the opening mutex, so that one question is asked
// however many threads wait.
class Holding {
 public:
  struct Held {
    wire::GrantId id;
    uint64_t generation = 0;  // of the session that knows the id; 0: none does
  };
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;
  virtual ~Holding() = default;

  Core& core() const { return *core_; }
  const CoreRef& core_ref() const { return core_; }
  virtual SameHostPolicy policy() const = 0;

  // A connected channel and the id in its session; a new session, a new id and a new connection
  // where the old ones are gone. Waits for a lost daemon until `deadline`. Errors of open_again, as
  // Session::call, and as Channels::get.
  Result<Attachment> attach(Time deadline);
  // The same when nothing has to be waited for.
  bool attach_now(Attachment& attachment);
  // The id in that session. The daemon may be in another one by now: then its next answer says so.
  Result<wire::GrantId> id_in(const SessionState& session, Time deadline);
  // The daemon called this id stale: the next attach asks for another one.
  virtual void invalidate(wire::GrantId id);

 protected:
  Holding(CoreRef core, Held held) : core_(std::move(core)), held_(held) {}
  Held held() const;
  // Asks the daemon; the errors are the caller's errors.
  virtual Result<Held> open_again(Time deadline) = 0;

  std::timed_mutex opening_;

 private:
  Status connect(const SessionState& session, Attachment& attachment, Time deadline);

  const CoreRef core_;
  mutable std::mutex mutex_;
  Held held_;
};

}  // namespace pmshelf::client
