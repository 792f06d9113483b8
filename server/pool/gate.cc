#include "server/pool/gate.h"

#include <string>

namespace pmshelf::pool {

Status Gate::enter() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kShut) return Error(Code::kNotFound, "the shelf has been erased");
  if (state_ == State::kClosed) {
    return Error(Code::kUnavailable, "the shelf is being erased: try again");
  }
  ++calls_;
  return {};
}

void Gate::leave() {
  std::lock_guard lock(mutex_);
  if (--calls_ == 0) idle_.notify_all();
}

void Gate::hold() {
  std::lock_guard lock(mutex_);
  ++holds_;
}

void Gate::drop() {
  std::lock_guard lock(mutex_);
  --holds_;
}

Status Gate::close() {
  std::unique_lock lock(mutex_);
  if (state_ == State::kShut) return Error(Code::kNotFound, "the shelf has been erased");
  state_ = State::kClosed;
  idle_.wait(lock, [this] { return calls_ == 0; });
  if (holds_ == 0) return {};
  state_ = State::kOpen;
  return Error(Code::kBusy, std::to_string(holds_) + " of its regions are held open");
}

void Gate::reopen() {
  std::lock_guard lock(mutex_);
  state_ = State::kOpen;
}

void Gate::shut() {
  std::lock_guard lock(mutex_);
  state_ = State::kShut;
}

}  // namespace pmshelf::pool
