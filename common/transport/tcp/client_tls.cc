#include "common/transport/tcp/client_tls.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <memory>

#include "common/transport/stream/tls.h"

namespace pmshelf::transport {
namespace {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

Error bad_file(const std::string& what, const std::string& file) {
  return {Code::kInvalidArgument, what + " '" + file + "': " + tls_error_text()};
}

Status load_files(SSL_CTX* context, const TlsConnectOptions& options) {
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1) {
    return bad_file("authority", options.ca_file);
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return Error(Code::kInvalidArgument, "a certificate and its key are given together or not");
  }
  if (options.cert_file.empty()) return {};
  if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1) {
    return bad_file("certificate", options.cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return bad_file("private key", options.key_file);
  }
  return {};
}

bool is_ip_address(const std::string& name) {
  in6_addr ignored;
  return ::inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

// Whom the certificate must be for.
bool expect_name(SSL* ssl, const std::string& name) {
  if (is_ip_address(name)) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
  }
  return SSL_set1_host(ssl, name.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
}

}  // namespace

Result<UniqueSsl> make_client_ssl(const TlsConnectOptions& options, const std::string& host) {
  const Context context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error(Code::kResourceExhausted, tls_error_text());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  PMSHELF_TRY(load_files(context.get(), options));
  UniqueSsl ssl(SSL_new(context.get()));  // holds its own reference to the context
  if (ssl == nullptr) return Error(Code::kResourceExhausted, tls_error_text());
  const std::string& name = options.server_name.empty() ? host : options.server_name;
  if (!expect_name(ssl.get(), name)) {
    return Error(Code::kInvalidArgument, "server name '" + name + "': " + tls_error_text());
  }
  SSL_set_connect_state(ssl.get());
  return ssl;
}

}  // namespace pmshelf::transport
