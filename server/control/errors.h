// Errors on their way out: pmshelf::Error to grpc::Status with ErrorDetail.
#pragma once

#include <grpcpp/support/status.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "pmshelf/result.h"

namespace pmshelf::control {

// Of the text of an error. Status and detail together stay below gRPC's 8 KiB of trailers.
inline constexpr size_t kMessageBytesMax = 1024;

// The gRPC code that proto/pmshelf/v1/errors.proto gives for `code`.
grpc::StatusCode grpc_code(Code code);

// Valid UTF-8 without control characters ('?' instead), cut to `bytes_max` between characters.
std::string printable(std::string_view text, size_t bytes_max = kMessageBytesMax);
// A name from a caller for use in a message: printable, quoted, cut to 100 bytes.
std::string quote_name(std::string_view name);

// Status with a serialized ErrorDetail. Advises when to retry for codes where that helps.
grpc::Status to_grpc(const Error& error);
grpc::Status to_grpc(const Status& status);

}  // namespace pmshelf::control
