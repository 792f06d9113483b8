#include "server/control/requests.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <xxhash.h>

#include <memory>
#include <string>

namespace pmshelf::control {

uint64_t request_digest(std::string_view method, std::string_view principal,
                        const google::protobuf::Message& request) {
  const std::unique_ptr<google::protobuf::Message> body(request.New());
  body->CopyFrom(request);
  if (const auto* field = body->GetDescriptor()->FindFieldByName("request_id"); field != nullptr) {
    body->GetReflection()->ClearField(body.get(), field);
  }
  std::string text(method);
  text.push_back('\0');
  text.append(principal);
  text.push_back('\0');
  {
    google::protobuf::io::StringOutputStream stream(&text);  // appends
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    body->SerializeToCodedStream(&coded);
  }
  return ::XXH3_64bits(text.data(), text.size());
}

RequestTable::Running::~Running() {
  if (table_ == nullptr) return;
  std::lock_guard lock(table_->mutex_);
  table_->entries_.erase({request_.id.high, request_.id.low});
}

void RequestTable::Running::done(uint64_t result) {
  result_ = result;
  if (table_ == nullptr) return;
  RequestTable& table = *std::exchange(table_, nullptr);
  const Key key{request_.id.high, request_.id.low};
  std::lock_guard lock(table.mutex_);
  Entry& entry = table.entries_[key];
  entry.result = result;
  entry.running = false;
  table.applied_.push_back({key, table.clock_.boot_ms()});
  table.forget_old();
}

Result<RequestTable::Running> RequestTable::begin(const store::Request& request) {
  if (!request.id) {
    return Error(Code::kInvalidArgument,
                 "request_id: 128 random bits are needed, the same when the call is repeated");
  }
  std::lock_guard lock(mutex_);
  forget_old();
  const auto [at, fresh] =
      entries_.try_emplace({request.id.high, request.id.low}, Entry{request.digest, 0, true});
  if (fresh) return Running(this, request, std::nullopt);
  if (at->second.digest != request.digest) {
    return Error(Code::kConflict,
                 "request_id: it has been used for another request; make a new one for each");
  }
  if (at->second.running) {
    return Error(Code::kUnavailable, "the same request is still running: repeat it");
  }
  return Running(nullptr, request, at->second.result);
}

void RequestTable::forget_old() {
  const uint64_t now = clock_.boot_ms();
  while (!applied_.empty() && (applied_.size() > store::kRequestsKept ||
                               now - applied_.front().boot_ms > store::kRequestKeepMs)) {
    entries_.erase(applied_.front().key);
    applied_.pop_front();
  }
}

}  // namespace pmshelf::control
