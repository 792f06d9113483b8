// The file that stored tokens live in: one line a token, no secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pmshelf/result.h"

namespace pmshelf::control {

inline constexpr uint64_t kTokenFileBytesMax = 4 << 20;

using TokenHash = std::array<std::byte, 32>;  // SHA-256 of the token's text

struct TokenRecord {
  std::string name;  // 1..64 of [A-Za-z0-9._-]
  TokenHash hash{};
  std::string principal;         // who its bearer is
  std::string shelves;           // glob of shelf names
  uint8_t rights = 0;            // the most that its bearer may do
  uint64_t expires_unix_ms = 0;  // 0: never
  uint64_t created_unix_ms = 0;
  std::string created_by;  // principal
  bool operator==(const TokenRecord&) const = default;
};

// 1..64 characters of [A-Za-z0-9._-].
bool is_token_name(std::string_view text);
// 1..256 printable ASCII characters without space, such as "unix:alice"; globs pass too.
bool is_principal_text(std::string_view text);
// 1..200 of [A-Za-z0-9._-] and the wildcards '*' and '?'.
bool is_shelf_glob(std::string_view text);

// Text of the file: a header line, then per token, separated by one space: name, hash in hex,
// principal, shelves, rights, expiry, creation (both ms since 1970), created_by.
std::string format_tokens(const std::vector<TokenRecord>& records);
// kCorrupt names the line. Nothing that format_tokens does not make is taken.
Result<std::vector<TokenRecord>> parse_tokens(std::string_view text);

// A missing file is an empty one. kPermissionDenied: others than the owner have rights on it, or it
// belongs to another user; kInvalidArgument: not a regular file, too large; kCorrupt: as
// parse_tokens; kIo. Every message names the path.
Result<std::vector<TokenRecord>> read_token_file(const std::string& path);
// Replaces the file (mode 0600) in one step; durable on return. kIo: the old one still stands.
Status write_token_file(const std::string& path, const std::vector<TokenRecord>& records);

}  // namespace pmshelf::control
