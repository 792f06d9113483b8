#include "client/src/lifeline.h"

namespace pmshelf::client {

void Lifeline::stop() {
  close();
  std::lock_guard lock(mutex_);
  stopped_.store(true, std::memory_order_release);
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  stopping_.notify_all();
}

bool Lifeline::sleep_until(Time until) {
  std::unique_lock lock(mutex_);
  return !stopping_.wait_until(lock, until, [this] { return stopped(); });
}

Error Lifeline::closed_error() { return Error(Code::kUnavailable, "this client is closed"); }

Error Lifeline::forked_error() {
  return Error(Code::kUnavailable,
               "this client belongs to the process that forked this one: connect again here");
}

Lifeline::Call::Call(Lifeline& lifeline, grpc::ClientContext& context)
    : lifeline_(lifeline), context_(context) {
  std::lock_guard lock(lifeline_.mutex_);
  lifeline_.calls_.insert(&context_);
  if (lifeline_.stopped()) context_.TryCancel();
}

Lifeline::Call::~Call() {
  std::lock_guard lock(lifeline_.mutex_);
  lifeline_.calls_.erase(&context_);
}

}  // namespace pmshelf::client
