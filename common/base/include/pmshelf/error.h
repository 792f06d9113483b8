// The one error vocabulary of pmshelf: daemon, data plane, control plane, clients.
// The numbers are those of `ErrorCode` in proto/pmshelf/v1/errors.proto and of the
// `status` field of data-plane frames (docs/protocol.md); they never change meaning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#pragma GCC visibility push(default)  // offered by libpmshelf.so
namespace pmshelf {

// A code exists only because a caller reacts to it in its own way. The reaction is beside it.
enum class Code : uint16_t {
  kOk = 0,
  kInvalidArgument = 1,    // fix the call; the message names the field
  kNotFound = 2,           // no such thing, or none that this principal may know of
  kAlreadyExists = 3,      // choose another name, or open the existing one
  kPermissionDenied = 4,   // ask the owner for the right
  kUnauthenticated = 5,    // present a valid token or certificate
  kSessionExpired = 6,     // open a new session; grants and locks of the old one are gone
  kStaleGrant = 7,         // lease over, revoked, or region replaced: open the region again
  kLocked = 8,             // another session holds the lock: wait and try again
  kBusy = 9,               // still in use by somebody whom the message names
  kNoSpace = 10,           // shelf or pool is full: erase or grow
  kResourceExhausted = 11, // a named limit of the daemon: raise it, or try later
  kOutOfRange = 12,        // offset + length beyond the end
  kCorrupt = 13,           // damage on media: run `pmshelf pool check`
  kIo = 14,                // the medium or the operating system failed; the message says how
  kReadOnly = 15,          // the store is open read-only; the message says why
  kUnavailable = 16,       // not reachable, or draining: try again with the same request id
  kUnknownOutcome = 17,    // the connection broke in mid-call: it may or may not have happened
  kDeadlineExceeded = 18,  // as kUnknownOutcome, after the caller's own deadline
  kUnsupported = 19,       // this version, medium or policy does not offer it
  kConflict = 20,          // request id reused with another body, or the version moved on
  kInternal = 21,          // our bug: report it
};

inline constexpr uint16_t kCodeMax = 21;

// Stable snake_case name ("no_space"), used in logs, JSON, metrics and Python class look-up.
std::string_view code_name(Code code);

// What went wrong, in words for the person who has to act. Value type, thread-compatible.
class Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // "no_space: shelf 'a' has 4096 bytes free, 8192 asked"
  std::string to_string() const;
  // Same code, with `prefix: ` put before the message.
  Error with_context(std::string_view prefix) const;

 private:
  Code code_;
  std::string message_;
};

}  // namespace pmshelf
#pragma GCC visibility pop
