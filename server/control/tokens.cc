#include "server/control/tokens.h"

#include <openssl/sha.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "common/wire/handshake.h"
#include "server/session/rights.h"
#include "server/store/types.h"

namespace pmshelf::control {
namespace {

constexpr std::string_view kPrefix = "pms_";
constexpr size_t kTokenBytes = 47;  // prefix and 43 characters
constexpr uint8_t kAllRights = store::kRead | store::kWrite | store::kAdmin;

struct PeerToken {
  TokenHash hash{};
  uint32_t uid = 0, gid = 0;
  uint64_t expires_boot_ms = 0;
};

std::string new_token() {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<std::byte, 33> random{};  // the last byte only pads the last group
  wire::fill_random(std::span(random).first(32));
  std::string text(kPrefix);
  for (size_t at = 0; at < random.size(); at += 3) {
    const uint32_t group = std::to_integer<uint32_t>(random[at]) << 16 |
                           std::to_integer<uint32_t>(random[at + 1]) << 8 |
                           std::to_integer<uint32_t>(random[at + 2]);
    for (const int shift : {18, 12, 6, 0}) text += kAlphabet[group >> shift & 63];
  }
  text.resize(kTokenBytes);
  return text;
}

TokenHash hash_of(std::string_view token) {
  TokenHash hash{};
  ::SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
           reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

Error refused() {
  return Error(Code::kUnauthenticated,
               "the token is not valid: get a new one, or open the session "
               "through the daemon's data socket on its own host");
}

// The user's name when it is one that principals can carry, else the number. A name of digits
// could pass for another user's number.
std::string user_name(uint32_t uid) {
  std::vector<char> buffer(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    const std::string_view name(found->pw_name);
    const bool plain = name.find_first_of("*?") == std::string_view::npos &&
                       name.find_first_not_of("0123456789") != std::string_view::npos;
    if (name.size() <= 128 && is_principal_text(name) && plain) return std::string(name);
  }
  return std::to_string(uid);
}

bool matches_any(const std::vector<std::string>& globs, std::string_view text) {
  return std::ranges::any_of(
      globs, [&](const std::string& glob) { return session::glob_match(glob, text); });
}

}  // namespace

struct Authenticator::State {
  State(const AuthenticatorOptions& with, const Clock& time) : options(with), clock(time) {}

  // The stored token with this hash, unless it is over.
  const TokenRecord* find(const TokenHash& hash) const {
    const auto at = by_hash.find(hash);
    if (at == by_hash.end()) return nullptr;
    const TokenRecord& record = records[at->second];
    if (!wire::equal_constant_time(record.hash, hash) || is_over(record)) return nullptr;
    return &record;
  }

  void adopt(std::vector<TokenRecord> fresh) {
    records = std::move(fresh);
    by_hash.clear();
    for (size_t index = 0; index < records.size(); ++index) by_hash[records[index].hash] = index;
  }

  bool is_over(const TokenRecord& record) const {
    return record.expires_unix_ms != 0 && clock.unix_ms() >= record.expires_unix_ms;
  }

  std::optional<PeerToken> take_peer_token(const TokenHash& hash) {
    for (auto at = peer_tokens.begin(); at != peer_tokens.end(); ++at) {
      if (!wire::equal_constant_time(at->hash, hash)) continue;
      const PeerToken token = *at;
      peer_tokens.erase(at);
      if (clock.boot_ms() >= token.expires_boot_ms) return std::nullopt;
      return token;
    }
    return std::nullopt;
  }

  Status check(const TokenSpec& spec, const session::Principal& creator, bool by_token) const;
  Status check_room(const session::Principal& creator) const;

  const AuthenticatorOptions options;
  const Clock& clock;
  mutable std::mutex mutex;  // everything below
  std::vector<TokenRecord> records;
  std::map<TokenHash, size_t> by_hash;  // index into `records`
  std::deque<PeerToken> peer_tokens;    // oldest first
};

Authenticator::Authenticator(std::unique_ptr<State> state) : state_(std::move(state)) {}
Authenticator::~Authenticator() = default;

Result<std::unique_ptr<Authenticator>> Authenticator::open(const AuthenticatorOptions& options,
                                                           const Clock& clock) {
  auto state = std::make_unique<State>(options, clock);
  if (!options.token_file.empty()) {
    PMSHELF_TRY_ASSIGN(auto records, read_token_file(options.token_file));
    state->adopt(std::move(records));
  }
  return std::unique_ptr<Authenticator>(new Authenticator(std::move(state)));
}

std::string Authenticator::issue_peer_token(uint32_t uid, uint32_t gid, int32_t /*pid*/) {
  std::string text = new_token();
  const uint64_t now = state_->clock.boot_ms();
  std::lock_guard lock(state_->mutex);
  auto& tokens = state_->peer_tokens;
  while (!tokens.empty() && tokens.front().expires_boot_ms <= now) tokens.pop_front();
  const auto of_uid = [uid](const PeerToken& token) { return token.uid == uid; };
  if (std::ranges::count_if(tokens, of_uid) >= kPeerTokensPerUidMax) {
    tokens.erase(std::ranges::find_if(tokens, of_uid));
  } else if (tokens.size() >= kPeerTokensMax) {
    tokens.pop_front();
  }
  tokens.push_back({hash_of(text), uid, gid, now + kPeerTokenLifetimeMs});
  return text;
}

Result<Identity> Authenticator::from_token(std::string_view token) {
  if (token.size() != kTokenBytes || !token.starts_with(kPrefix)) return refused();
  const TokenHash hash = hash_of(token);
  Identity identity;
  session::Principal& principal = identity.principal;
  std::unique_lock lock(state_->mutex);
  if (const TokenRecord* record = state_->find(hash); record != nullptr) {
    principal.name = record->principal;
    principal.shelf_glob = record->shelves;
    principal.rights_max = record->rights;
    principal.administrator = record->shelves == "*" && record->rights == kAllRights &&
                              matches_any(state_->options.admins, principal.name);
    identity.token_name = record->name;
    identity.token_hash = hash;
    return identity;
  }
  const std::optional<PeerToken> peer = state_->take_peer_token(hash);
  lock.unlock();  // looking up a user may ask the network
  if (!peer.has_value()) return refused();
  principal.name = "unix:" + user_name(peer->uid);
  principal.uid = peer->uid;
  principal.gid = peer->gid;
  principal.administrator = peer->uid == 0 || peer->uid == ::geteuid() ||
                            matches_any(state_->options.admins, principal.name);
  return identity;
}

Result<Identity> Authenticator::from_certificate(std::string_view name) const {
  const bool good = !name.empty() && name.size() <= 128 && std::ranges::all_of(name, [](char c) {
    return is_token_name(std::string_view(&c, 1)) || c == '@';
  });
  if (!good) {
    return Error(Code::kUnauthenticated,
                 "the certificate's common name is not 1..128 characters of [A-Za-z0-9._@-]");
  }
  Identity identity;
  identity.principal.name = "cert:" + std::string(name);
  identity.principal.administrator = matches_any(state_->options.admins, identity.principal.name);
  return identity;
}

bool Authenticator::still_valid(const Identity& identity) const {
  if (identity.token_name.empty()) return true;
  std::lock_guard lock(state_->mutex);
  return state_->find(identity.token_hash) != nullptr;
}

bool Authenticator::may_create_shelf(const session::Principal& principal,
                                     std::string_view shelf_name) const {
  if ((principal.rights_max & store::kAdmin) == 0) return false;
  if (!session::glob_match(principal.shelf_glob, shelf_name)) return false;
  return principal.administrator || principal.name.starts_with("token:") ||
         matches_any(state_->options.creators, principal.name);
}

Status Authenticator::State::check(const TokenSpec& spec, const session::Principal& creator,
                                   bool by_token) const {
  if (options.token_file.empty()) {
    return Error(Code::kUnsupported, "this daemon keeps no tokens: it has no state directory");
  }
  if (!is_token_name(spec.name)) {
    return Error(Code::kInvalidArgument, "name: 1..64 characters of [A-Za-z0-9._-] are needed");
  }
  if (!is_shelf_glob(spec.shelves)) {
    return Error(Code::kInvalidArgument,
                 "shelves: 1..200 characters of [A-Za-z0-9._-] with '*' and '?' are needed");
  }
  if (spec.rights == 0 || spec.rights > kAllRights) {
    return Error(Code::kInvalidArgument, "rights: a sum of 1 (read), 2 (write), 4 (admin)");
  }
  if (spec.lifetime_ms > UINT64_MAX / 2) {
    return Error(Code::kInvalidArgument, "lifetime_ms: at most 2^63; 0 for a token without end");
  }
  if (creator.administrator && spec.principal.empty()) return {};
  if (spec.principal != creator.name) {
    return Error(Code::kPermissionDenied, "principal: only '" + creator.name +
                                              "', yourself; tokens of their own are made by "
                                              "administrators, with an empty principal");
  }
  if (by_token && !creator.administrator) {
    return Error(Code::kPermissionDenied,
                 "a session that was opened with a token cannot make tokens: come through the "
                 "daemon's socket or with a certificate");
  }
  return {};
}

Status Authenticator::State::check_room(const session::Principal& creator) const {
  if (records.size() >= kTokensMax) {
    return Error(Code::kResourceExhausted, "there are 4096 tokens, the most: revoke some");
  }
  const auto count = std::ranges::count(records, creator.name, &TokenRecord::created_by);
  if (!creator.administrator && count >= kTokensPerPrincipalMax) {
    return Error(Code::kResourceExhausted, "you have made 64 tokens, the most: revoke some");
  }
  return {};
}

Result<std::string> Authenticator::create_token(const TokenSpec& spec,
                                                const session::Principal& creator, bool by_token) {
  PMSHELF_TRY(state_->check(spec, creator, by_token));
  std::string text = new_token();
  TokenRecord record{spec.name, hash_of(text), spec.principal, spec.shelves, spec.rights, 0, 0, {}};
  if (record.principal.empty()) record.principal = "token:" + spec.name;
  record.created_unix_ms = state_->clock.unix_ms();
  record.created_by = creator.name;
  if (spec.lifetime_ms != 0) record.expires_unix_ms = record.created_unix_ms + spec.lifetime_ms;

  std::lock_guard lock(state_->mutex);
  std::vector<TokenRecord> records = state_->records;
  std::erase_if(records, [&](const TokenRecord& old) {
    return old.name == spec.name && state_->is_over(old);
  });
  if (std::ranges::count(records, spec.name, &TokenRecord::name) != 0) {
    return Error(Code::kAlreadyExists, "a token is named '" + spec.name + "'");
  }
  PMSHELF_TRY(state_->check_room(creator));
  records.push_back(std::move(record));
  PMSHELF_TRY(write_token_file(state_->options.token_file, records));
  state_->adopt(std::move(records));
  return text;
}

std::vector<TokenRecord> Authenticator::list_tokens(const session::Principal& caller) const {
  std::lock_guard lock(state_->mutex);
  std::vector<TokenRecord> seen;
  for (const TokenRecord& record : state_->records) {
    if (caller.administrator || record.principal == caller.name) seen.push_back(record);
  }
  return seen;
}

Status Authenticator::revoke_token(std::string_view name, const session::Principal& caller) {
  std::lock_guard lock(state_->mutex);
  std::vector<TokenRecord> records = state_->records;
  const size_t gone = std::erase_if(records, [&](const TokenRecord& record) {
    return record.name == name && (caller.administrator || record.principal == caller.name);
  });
  if (gone == 0) {
    return Error(Code::kNotFound, "no token '" + std::string(name.substr(0, 64)) + "' of yours");
  }
  PMSHELF_TRY(write_token_file(state_->options.token_file, records));
  state_->adopt(std::move(records));
  return {};
}

}  // namespace pmshelf::control
