// Who a caller is: stored bearer tokens, one-time tokens of same-host peers, client certificates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "pmshelf/result.h"
#include "server/control/token_file.h"
#include "server/session/registry.h"

namespace pmshelf::control {

inline constexpr uint32_t kTokensMax = 4096;            // stored, of all principals
inline constexpr uint32_t kTokensPerPrincipalMax = 64;  // that a non-administrator has made
inline constexpr uint32_t kPeerTokensMax = 4096;        // one-time, not used yet
inline constexpr uint32_t kPeerTokensPerUidMax = 64;    // the oldest of the uid gives way
inline constexpr uint64_t kPeerTokenLifetimeMs = 10'000;

struct AuthenticatorOptions {
  std::string token_file;                          // in the state directory; empty: none are stored
  std::vector<std::string> admins;                 // globs of principals that are administrators
  std::vector<std::string> creators = {"unix:*"};  // globs of those who may create shelves
};

struct Identity {
  session::Principal principal;
  std::string token_name;  // of the stored token; empty for peers and certificates
  TokenHash token_hash{};
};

struct TokenSpec {
  std::string name;
  std::string shelves = "*";
  uint8_t rights = 7;
  uint64_t lifetime_ms = 0;  // 0: never expires
  std::string principal;     // empty: "token:NAME"
};

// Owner: app; outlives everything that calls it. Any thread.
//
// A token is `pms_` and 43 characters of base64url: 256 random bits. Only its SHA-256 is kept.
// Administrators are root, the daemon's own user, and who matches `admins`, unless they come with
// a token that is narrowed (other shelves than "*", or not all rights). The lifetime of stored
// tokens is wall-clock time, because it has to mean the same after a reboot.
//
// Durability: create_token and revoke_token are durable when they return ok.
class Authenticator {
 public:
  // Reads the token file; none yet is fine. Errors as read_token_file.
  static Result<std::unique_ptr<Authenticator>> open(const AuthenticatorOptions& options,
                                                     const Clock& clock);
  ~Authenticator();

  // A token that a same-host peer can open one session with, within 10 s. The caller has `uid`,
  // `gid` and `pid` from SO_PEERCRED. Never fails and never blocks: at the limits the oldest
  // token of that uid, else the oldest of all, is dropped.
  std::string issue_peer_token(uint32_t uid, uint32_t gid, int32_t pid);

  // kUnauthenticated, with one message for every reason. A one-time token is used up.
  Result<Identity> from_token(std::string_view token);
  // `name` is the common name of a verified certificate. kUnauthenticated when it is not 1..128
  // characters of [A-Za-z0-9._@-].
  Result<Identity> from_certificate(std::string_view name) const;
  // False once the stored token that it came with is revoked or over.
  bool still_valid(const Identity& identity) const;

  // Owner-to-be of a new shelf: an administrator, one of `creators`, or a token with all rights;
  // in each case within the scope of the token that it came with.
  bool may_create_shelf(const session::Principal& principal, std::string_view shelf_name) const;

  // Shows the token once. `creator` is the caller, `by_token` whether it came with a stored one.
  // kInvalidArgument names the field; kPermissionDenied; kAlreadyExists; kResourceExhausted
  // (kTokensMax, kTokensPerPrincipalMax); kIo: nothing is changed.
  Result<std::string> create_token(const TokenSpec& spec, const session::Principal& creator,
                                   bool by_token);
  // All of them for administrators, else those that act as the caller.
  std::vector<TokenRecord> list_tokens(const session::Principal& caller) const;
  // kNotFound: none of that name that the caller may see; kIo.
  Status revoke_token(std::string_view name, const session::Principal& caller);

 private:
  struct State;
  explicit Authenticator(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace pmshelf::control
