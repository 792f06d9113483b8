// Who the client says it is: bearer tokens and TLS files.
#pragma once

#include <string>

#include "client/src/environment.h"
#include "client/src/target.h"
#include "pmshelf/client.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

inline constexpr size_t kTokenBytesMax = 4096;
inline constexpr size_t kPemBytesMax = 1 << 20;

// The bearer token to show, or "" when there is none: then a same-host client asks the data socket
// for a one-time token, and a remote one relies on its certificate. Read again for each session, so
// that a renewed token file is met. The order:
//   1. options.token; 2. options.token_file, which must exist when given;
//   3. $PMSHELF_TOKEN, but not for "dir:" targets, whose daemons know no tokens;
//   4. ~/.config/pmshelf/token when it exists, for "host" targets only.
// kInvalidArgument names a file that is missing, no regular file, over 4096 bytes, empty, open to
// others than owner and group, or a token with characters that no token has.
Result<std::string> find_token(const ConnectOptions& options, const Environment& environment,
                               Target::Kind kind);

// PEM texts; empty where no file was named.
struct TlsFiles {
  std::string ca, cert, key;
  bool any() const { return !ca.empty() || !cert.empty(); }
};

// kInvalidArgument: a file cannot be read, a key without a certificate or the reverse, or a key
// file open to others.
Result<TlsFiles> read_tls_files(const ConnectOptions& options);

}  // namespace pmshelf::client
