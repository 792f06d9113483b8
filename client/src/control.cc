#include "client/src/control.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <array>
#include <fstream>
#include <sstream>

#include "common/base/endian.h"
#include "common/wire/handshake.h"
#include "pmshelf/v1/errors.pb.h"

namespace pmshelf::client {
namespace {

constexpr const char* kSystemCertificates = "/etc/ssl/certs/ca-certificates.crt";
constexpr int kReconnectMsMin = 100;
constexpr int kReconnectMsMax = 1000;

std::string text_of_file(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::shared_ptr<grpc::ChannelCredentials> credentials_for(const Site& site, const TlsFiles& tls) {
  const bool socket = site.control_address.starts_with("unix:");
  if (socket || (!site.needs_tls && !tls.any())) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls.ca.empty() ? text_of_file(kSystemCertificates) : tls.ca;
  options.pem_cert_chain = tls.cert;
  options.pem_private_key = tls.key;
  return grpc::SslCredentials(options);
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMsMin);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMsMin);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  // gRPC's own retries would repeat calls that we repeat with care.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // The data plane knows no proxies either.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // One connection per client, not per process.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

Code code_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      return Code::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND:
      return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS:
      return Code::kAlreadyExists;
    case grpc::StatusCode::PERMISSION_DENIED:
      return Code::kPermissionDenied;
    case grpc::StatusCode::UNAUTHENTICATED:
      return Code::kUnauthenticated;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Code::kResourceExhausted;
    case grpc::StatusCode::OUT_OF_RANGE:
      return Code::kOutOfRange;
    case grpc::StatusCode::UNIMPLEMENTED:
      return Code::kUnsupported;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Code::kDeadlineExceeded;
    case grpc::StatusCode::DATA_LOSS:
      return Code::kCorrupt;
    // Without a detail these are gRPC's words for a connection that ended under the call.
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

}  // namespace

ControlConnection::ControlConnection(const Site& site, const TlsFiles& tls)
    : address_(site.control_address),
      channel_(
          grpc::CreateCustomChannel(address_, credentials_for(site, tls), channel_arguments())),
      sessions_(v1::Sessions::NewStub(channel_)),
      shelves_(v1::Shelves::NewStub(channel_)),
      regions_(v1::Regions::NewStub(channel_)),
      admin_(v1::Admin::NewStub(channel_)) {}

CallFailure failure_of(const grpc::Status& status, const std::string& address) {
  v1::ErrorDetail detail;
  if (detail.ParseFromString(status.error_details()) && detail.code() > 0 &&
      detail.code() <= kCodeMax) {
    return {Error(static_cast<Code>(detail.code()), detail.message()),
            std::chrono::milliseconds(detail.retry_after_ms()), true};
  }
  // gRPC does not say in its code whether a request was sent. Where its words are not these, we
  // take it that it was: wrong only on the careful side.
  const bool not_applied = status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                           (status.error_message().starts_with("failed to connect") ||
                            status.error_message().starts_with("DNS resolution failed"));
  return {Error(code_of(status.error_code()), address + ": " + status.error_message()),
          std::chrono::milliseconds(0), not_applied};
}

v1::RequestId new_request_id() {
  std::array<std::byte, 16> bits{};
  wire::fill_random(bits);
  v1::RequestId id;
  id.set_high(load_le<uint64_t>(bits.data()));
  id.set_low(load_le<uint64_t>(bits.data() + 8));
  return id;
}

}  // namespace pmshelf::client
