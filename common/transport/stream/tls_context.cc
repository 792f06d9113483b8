#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/transport/stream/stream_listener.h"

namespace pmshelf::transport {
namespace {

Error bad_file(const std::string& what, const std::string& file, const asio::error_code& error) {
  ERR_clear_error();
  return {Code::kInvalidArgument, what + " '" + file + "': " + error.message()};
}

}  // namespace

Result<std::shared_ptr<asio::ssl::context>> make_server_tls_context(const ServerTlsFiles& files) {
  using asio::ssl::context;
  auto result = std::make_shared<context>(context::tls_server);
  asio::error_code error;
  result->set_options(context::default_workarounds | context::no_sslv2 | context::no_sslv3 |
                      context::no_tlsv1 | context::no_tlsv1_1);
  SSL_CTX_set_options(result->native_handle(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Each connection is new to its daemon: resuming one would save nothing that matters.
  SSL_CTX_set_session_cache_mode(result->native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(result->native_handle(), 0);
  result->use_certificate_chain_file(files.certificate_file, error);
  if (error) return bad_file("certificate", files.certificate_file, error);
  result->use_private_key_file(files.key_file, context::pem, error);
  if (error) return bad_file("private key", files.key_file, error);
  if (!files.client_ca_file.empty()) {
    result->load_verify_file(files.client_ca_file, error);
    if (error) return bad_file("client authority", files.client_ca_file, error);
    result->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
  }
  return result;
}

}  // namespace pmshelf::transport
