// How each session was opened, and how many each principal has.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pmshelf/result.h"
#include "server/control/tokens.h"
#include "server/session/registry.h"

namespace pmshelf::control {

// Lets a session end with the token that it was opened with, and keeps one principal from taking
// all sessions. Owner: ControlServer; the registry's sessions may end later than this object, so
// their hooks share the table. Any thread.
class SessionBook {
 public:
  SessionBook(session::Registry& registry, uint32_t per_principal_max)
      : registry_(registry), per_principal_max_(per_principal_max) {}

  // Opens a session in the registry. kResourceExhausted names the limit (the registry's, or that of
  // sessions per principal).
  Result<session::OpenedSession> open(const Identity& identity, std::string client_name,
                                      std::string peer);
  // How it was opened; nothing for sessions not opened here.
  std::optional<Identity> identity(const wire::SessionId& session) const;
  std::vector<std::pair<wire::SessionId, Identity>> with_tokens() const;

 private:
  struct Table {
    std::mutex mutex;
    std::map<wire::SessionId, Identity> sessions;
    std::map<std::string, uint32_t> counts;  // by principal; open ones and those being opened
    void leave(const std::string& principal);
  };

  session::Registry& registry_;
  const uint32_t per_principal_max_;
  std::shared_ptr<Table> table_ = std::make_shared<Table>();
};

}  // namespace pmshelf::control
