#include "common/transport/stream/tls.h"

#include <openssl/err.h>

namespace pmshelf::transport {

std::string tls_error_text() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return std::string("TLS: ") + (reason == nullptr ? "failed" : reason);
}

}  // namespace pmshelf::transport
