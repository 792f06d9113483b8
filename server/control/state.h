// What the services share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "server/control/control_server.h"
#include "server/control/lock_queue.h"
#include "server/control/refusal_log.h"
#include "server/control/requests.h"
#include "server/control/session_book.h"
#include "server/control/shelf_gate.h"
#include "server/control/staging.h"
#include "server/control/wait_places.h"

namespace pmshelf::control {

// Owner: ControlServer; outlives the services and every call. Any thread.
struct ControlState {
  ControlState(const ControlParts& with, ControlOptions options_in, ControlHooks hooks_in)
      : parts(with), options(std::move(options_in)), hooks(std::move(hooks_in)) {}

  // New sessions are refused from now on.
  void begin_drain() {
    if (!draining.exchange(true) && hooks.drain_began) hooks.drain_began();
  }
  // A session lives no longer than the token that it was opened with.
  void end_sessions_of_dead_tokens() {
    for (const auto& [session, identity] : sessions.with_tokens()) {
      if (parts.authenticator.still_valid(identity)) continue;
      parts.registry.close(session, "its token is over or revoked");
    }
  }

  const ControlParts parts;
  const ControlOptions options;
  const ControlHooks hooks;
  std::atomic<bool> draining{false};
  RequestTable requests{parts.clock};
  SessionBook sessions{parts.registry, options.sessions_per_principal_max};
  Staging staging{parts.registry};
  ShelfGate shelf_gate;
  WaitPlaces wait_places{options.threads_max / 2};
  RefusalLog refusals{parts.clock};
  std::unique_ptr<LockQueue> locks;  // while the server runs
};

}  // namespace pmshelf::control
