#include "server/control/errors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/base/utf8.h"
#include "pmshelf/v1/errors.pb.h"

namespace pmshelf::control {
namespace {

std::string upper(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return result;
}

TEST(Errors, NumbersAndNamesAgreeWithTheProtocolTable) {
  const google::protobuf::EnumDescriptor* table = v1::ErrorCode_descriptor();
  EXPECT_EQ(table->value_count(), kCodeMax + 1);
  for (int number = 0; number <= kCodeMax; ++number) {
    const auto* entry = table->FindValueByNumber(number);
    ASSERT_NE(entry, nullptr) << number;
    EXPECT_EQ(entry->name(), upper(code_name(static_cast<Code>(number)))) << number;
  }
}

// The gRPC codes that errors.proto writes beside each number.
TEST(Errors, GrpcCodesAreThoseOfTheProtocolTable) {
  const std::pair<Code, grpc::StatusCode> table[] = {
      {Code::kOk, grpc::StatusCode::OK},
      {Code::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
      {Code::kNotFound, grpc::StatusCode::NOT_FOUND},
      {Code::kAlreadyExists, grpc::StatusCode::ALREADY_EXISTS},
      {Code::kPermissionDenied, grpc::StatusCode::PERMISSION_DENIED},
      {Code::kUnauthenticated, grpc::StatusCode::UNAUTHENTICATED},
      {Code::kSessionExpired, grpc::StatusCode::UNAUTHENTICATED},
      {Code::kStaleGrant, grpc::StatusCode::FAILED_PRECONDITION},
      {Code::kLocked, grpc::StatusCode::ABORTED},
      {Code::kBusy, grpc::StatusCode::FAILED_PRECONDITION},
      {Code::kNoSpace, grpc::StatusCode::RESOURCE_EXHAUSTED},
      {Code::kResourceExhausted, grpc::StatusCode::RESOURCE_EXHAUSTED},
      {Code::kOutOfRange, grpc::StatusCode::OUT_OF_RANGE},
      {Code::kCorrupt, grpc::StatusCode::DATA_LOSS},
      {Code::kIo, grpc::StatusCode::INTERNAL},
      {Code::kReadOnly, grpc::StatusCode::FAILED_PRECONDITION},
      {Code::kUnavailable, grpc::StatusCode::UNAVAILABLE},
      {Code::kUnknownOutcome, grpc::StatusCode::UNKNOWN},
      {Code::kDeadlineExceeded, grpc::StatusCode::DEADLINE_EXCEEDED},
      {Code::kUnsupported, grpc::StatusCode::UNIMPLEMENTED},
      {Code::kConflict, grpc::StatusCode::ABORTED},
      {Code::kInternal, grpc::StatusCode::INTERNAL}};
  EXPECT_EQ(std::size(table), kCodeMax + 1u);
  for (const auto& [code, expected] : table) {
    EXPECT_EQ(grpc_code(code), expected) << code_name(code);
  }
}

TEST(Errors, DetailCarriesTheCodeTheMessageAndAdvice) {
  const grpc::Status status = to_grpc(Error(Code::kLocked, "held by 'unix:bob'"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "held by 'unix:bob'");
  v1::ErrorDetail detail;
  ASSERT_TRUE(detail.ParseFromString(status.error_details()));
  EXPECT_EQ(detail.code(), v1::LOCKED);
  EXPECT_EQ(detail.message(), "held by 'unix:bob'");
  EXPECT_GT(detail.retry_after_ms(), 0u);
  EXPECT_TRUE(to_grpc(Status()).ok());
}

TEST(Errors, MessagesAreBoundedValidTextWhateverTheNamesInThem) {
  std::string wild = "region '";
  for (int byte = 0; byte < 256; ++byte) wild += static_cast<char>(byte);
  for (int count = 0; count < 2000; ++count) wild += "\xe2\x82\xac";  // three bytes a character
  const grpc::Status status = to_grpc(Error(Code::kNotFound, wild));
  EXPECT_LE(status.error_message().size(), kMessageBytesMax);
  EXPECT_TRUE(is_valid_utf8(status.error_message()));
  EXPECT_TRUE(std::ranges::none_of(status.error_message(),
                                   [](unsigned char c) { return c < ' ' || c == 0x7f; }));
  EXPECT_TRUE(status.error_message().ends_with("\xe2\x82\xac"));
}

TEST(Errors, LongNamesAreCutInMessages) {
  EXPECT_EQ(quote_name("a"), "'a'");
  EXPECT_EQ(quote_name(std::string(200, 'x')), "'" + std::string(100, 'x') + "...'");
}

}  // namespace
}  // namespace pmshelf::control
