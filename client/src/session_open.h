// One opening of a session: find the daemon, say who we are, Sessions.Open.
#pragma once

#include <string>

#include "client/src/session.h"

namespace pmshelf::client {

// References: all outlive the call.
struct SessionOpener {
  const ConnectOptions& options;
  const Target& target;
  const Environment& environment;
  Dialer& dialer;
  Lifeline& lifeline;

  // `generation` of the result is the caller's to set. Errors as Client::connect.
  Result<SessionState> open(Time deadline) const;

 private:
  Result<std::string> bearer_token(const Site& site, const TlsFiles& tls, Time deadline) const;
  Result<v1::OpenSessionResponse> request(const SessionState& state, const std::string& token,
                                          Time deadline) const;
};

// Program name and pid, for lists of sessions.
std::string usual_client_name();

}  // namespace pmshelf::client
