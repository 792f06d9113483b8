// The session with one daemon: opened, kept, and opened again when the daemon lost it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/src/control.h"
#include "client/src/dialer.h"
#include "client/src/environment.h"
#include "client/src/lifeline.h"
#include "client/src/locator.h"
#include "client/src/target.h"
#include "common/wire/frame.h"
#include "common/wire/handshake.h"
#include "pmshelf/client.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

inline constexpr std::chrono::milliseconds kRetryPauseMin{10};
inline constexpr std::chrono::milliseconds kRetryPauseMax{250};
// How often one call accepts that the session has ended under it.
inline constexpr int kRenewalsMax = 4;

struct Endpoint {
  Path path = Path::kTcp;
  std::string address;  // socket path, or "host:port" with an empty host for the site's own
  bool tls = false;
};

// One opened session. Immutable; shared by whoever is using it.
struct SessionState {
  uint64_t generation = 0;  // of this client: rises with every opening
  wire::SessionId id{};
  std::string ticket;
  wire::Secret data_secret{};
  std::string principal, server_version;
  uint64_t boot_epoch = 0;
  std::chrono::milliseconds keep_alive{0};
  std::vector<Endpoint> endpoints;
  Site site;
  std::shared_ptr<ControlConnection> control;
};
using SessionPtr = std::shared_ptr<const SessionState>;

// How a control call may be repeated.
enum class Repeat : uint8_t {
  kFreely,       // changes nothing, or nothing that a repetition would change again
  kByRequestId,  // a mutation that the daemon applies once
  kNever,        // a mutation without request id: kUnknownOutcome instead
};
struct CallPlan {
  std::chrono::milliseconds timeout{30000};
  Repeat repeat = Repeat::kFreely;
  Time deadline = Time::max();
  // Not 0: in this session only, for ids that mean something else in another one. kSessionExpired.
  uint64_t only_generation = 0;
};

// Owner: Core. Thread-safe. `renew` and the first `open` block, holding the opening mutex while
// they talk to the daemon, so that one session is opened however many threads found theirs gone;
// others wait for it with their own deadlines. Nothing else is locked meanwhile.
class Session {
 public:
  Session(const ConnectOptions& options, Target target, Environment environment, Dialer& dialer,
          Lifeline& lifeline);

  // First opening: one attempt, but for "dir:" targets as many as the deadline allows, because a
  // private daemon may just be ending. Errors as Client::connect.
  Status open(Time deadline);
  SessionPtr current() const;

  // Returns when a session newer than `stale_generation` is there. kUnavailable and
  // kDeadlineExceeded are tried again until `deadline`; other refusals are final.
  Status renew(uint64_t stale_generation, Time deadline);

  // One control call, repeated (same request, hence same request id) while the daemon is
  // unavailable, until reconnect_timeout after the first failure or the plan's deadline, whichever
  // is earlier; with a new session when the old one has ended. kDeadlineExceeded: one attempt took
  // longer than the plan's timeout. kUnknownOutcome: a mutation that may have arrived, and nobody
  // answers to the end.
  using Attempt = std::function<grpc::Status(ControlConnection&, grpc::ClientContext&)>;
  // `generation`, when given, gets that of the session in which the call succeeded.
  Status call(const CallPlan& plan, const Attempt& attempt, uint64_t* generation = nullptr);

  // After kUnavailable: a private daemon may be gone for good, and another one has to be started.
  // Does nothing for other targets.
  void revive(const SessionState& state, Time deadline);
  // current()->generation, without a lock.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // False when the daemon says that this session has ended.
  bool is_alive(const SessionState& state);

  // One attempt each, for the upkeep thread.
  Result<std::vector<wire::GrantId>> keep_alive(const SessionState& state,
                                                std::chrono::milliseconds timeout);
  void close(const SessionState& state, std::chrono::milliseconds timeout);
  void release(const SessionState& state, const std::vector<wire::GrantId>& grants,
               std::chrono::milliseconds timeout);

 private:
  Result<SessionPtr> open_once(uint64_t generation, Time deadline);
  grpc::Status attempt_once(const SessionState& state, std::chrono::milliseconds timeout,
                            const Attempt& attempt);
  struct CallProgress {
    bool failed = false;
    bool maybe_applied = false;
    int renewals = 0;
    std::chrono::milliseconds pause = kRetryPauseMin;
    Time give_up{};
  };
  Status after_failure(const CallPlan& plan, const SessionState& state, CallFailure failure,
                       CallProgress& progress);
  void install(SessionPtr state);

  const ConnectOptions options_;
  const Target target_;
  const Environment environment_;
  Dialer& dialer_;
  Lifeline& lifeline_;
  std::timed_mutex opening_;
  mutable std::mutex mutex_;
  SessionPtr current_;
  std::atomic<uint64_t> generation_{0};
};

std::string encode_grant_id(wire::GrantId grant);
// kInternal: not 16 bytes.
Result<wire::GrantId> decode_grant_id(const std::string& bytes);

}  // namespace pmshelf::client
