// TLS of the control plane: certificates that are checked, and reloaded when their files change.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "pmshelf/result.h"

namespace pmshelf::control {

struct TlsOptions {
  std::string cert_file;                    // PEM: the server's certificate, then its chain
  std::string key_file;                     // PEM; not readable by everybody
  std::string client_ca_file;               // PEM; empty: client certificates are not asked for
  bool require_client_certificate = false;  // else a token will do
};

struct TlsMaterial {
  std::string cert_pem, key_pem, client_ca_pem;
};

// Reads and checks the files. kInvalidArgument names the file: missing, not regular, over 1 MiB,
// key readable by everybody, not PEM, key and certificate do not belong together, certificate
// expired or not valid yet, client certificates required without a CA. For --check-config too.
Result<TlsMaterial> load_tls(const TlsOptions& options, const Clock& clock);

// Server credentials that look at the files again, at most once a second, when a connection comes
// in. A new pair that load_tls refuses is logged once and the old one stays. Both the object made
// and `clock` outlive the server that uses them. Errors as load_tls.
//
// Connections must be handed to gRPC by one thread (acceptor.h does): gRPC 1.51 replaces the
// certificate without a lock.
Result<std::shared_ptr<grpc::ServerCredentials>> make_tls_credentials(const TlsOptions& options,
                                                                      const Clock& clock);

}  // namespace pmshelf::control
