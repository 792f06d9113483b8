#include "server/control/errors.h"

#include <array>

#include "common/base/utf8.h"
#include "pmshelf/v1/errors.pb.h"

namespace pmshelf::control {
namespace {

constexpr std::array<grpc::StatusCode, kCodeMax + 1> kGrpcCodes = {
    grpc::StatusCode::OK,                   // kOk
    grpc::StatusCode::INVALID_ARGUMENT,     // kInvalidArgument
    grpc::StatusCode::NOT_FOUND,            // kNotFound
    grpc::StatusCode::ALREADY_EXISTS,       // kAlreadyExists
    grpc::StatusCode::PERMISSION_DENIED,    // kPermissionDenied
    grpc::StatusCode::UNAUTHENTICATED,      // kUnauthenticated
    grpc::StatusCode::UNAUTHENTICATED,      // kSessionExpired
    grpc::StatusCode::FAILED_PRECONDITION,  // kStaleGrant
    grpc::StatusCode::ABORTED,              // kLocked
    grpc::StatusCode::FAILED_PRECONDITION,  // kBusy
    grpc::StatusCode::RESOURCE_EXHAUSTED,   // kNoSpace
    grpc::StatusCode::RESOURCE_EXHAUSTED,   // kResourceExhausted
    grpc::StatusCode::OUT_OF_RANGE,         // kOutOfRange
    grpc::StatusCode::DATA_LOSS,            // kCorrupt
    grpc::StatusCode::INTERNAL,             // kIo
    grpc::StatusCode::FAILED_PRECONDITION,  // kReadOnly
    grpc::StatusCode::UNAVAILABLE,          // kUnavailable
    grpc::StatusCode::UNKNOWN,              // kUnknownOutcome
    grpc::StatusCode::DEADLINE_EXCEEDED,    // kDeadlineExceeded
    grpc::StatusCode::UNIMPLEMENTED,        // kUnsupported
    grpc::StatusCode::ABORTED,              // kConflict
    grpc::StatusCode::INTERNAL,             // kInternal
};

uint32_t retry_after_ms(Code code) {
  switch (code) {
    case Code::kUnavailable:
    case Code::kLocked:
      return 50;
    case Code::kBusy:
    case Code::kResourceExhausted:
      return 500;
    default:
      return 0;
  }
}

}  // namespace

grpc::StatusCode grpc_code(Code code) {
  const auto index = static_cast<uint16_t>(code);
  return index <= kCodeMax ? kGrpcCodes[index] : grpc::StatusCode::INTERNAL;
}

std::string printable(std::string_view text, size_t bytes_max) {
  std::string clean;
  while (!text.empty()) {
    size_t bytes = utf8_sequence_bytes(text);
    const bool control = bytes == 1 && (text[0] < ' ' && text[0] >= 0);
    const bool good = bytes != 0 && !control && text[0] != 0x7f;
    if (bytes == 0) bytes = 1;
    if (clean.size() + bytes > bytes_max) break;
    if (good) {
      clean.append(text.substr(0, bytes));
    } else {
      clean += '?';
    }
    text.remove_prefix(bytes);
  }
  return clean;
}

std::string quote_name(std::string_view name) {
  constexpr size_t kNameBytesMax = 100;
  std::string text = "'" + printable(name, kNameBytesMax);
  if (name.size() > kNameBytesMax) text += "...";
  return text + "'";
}

grpc::Status to_grpc(const Error& error) {
  v1::ErrorDetail detail;
  detail.set_code(static_cast<v1::ErrorCode>(error.code()));
  detail.set_message(printable(error.message()));
  detail.set_retry_after_ms(retry_after_ms(error.code()));
  return {grpc_code(error.code()), detail.message(), detail.SerializeAsString()};
}

grpc::Status to_grpc(const Status& status) {
  return status.ok() ? grpc::Status::OK : to_grpc(status.error());
}

}  // namespace pmshelf::control
