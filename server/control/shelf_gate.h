// One change at a time to a shelf as a whole.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "pmshelf/result.h"

namespace pmshelf::control {

// Names of shelves that are being made, renamed, resized, erased or given another access list.
// It keeps a name unique over all pools and makes read-change-write of a shelf's record safe.
// Any thread.
class ShelfGate {
 public:
  class Pass {
   public:
    Pass(Pass&& other) noexcept
        : gate_(std::exchange(other.gate_, nullptr)), name_(std::move(other.name_)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave(name_);
    }

   private:
    friend class ShelfGate;
    Pass(ShelfGate* gate, std::string name) : gate_(gate), name_(std::move(name)) {}
    ShelfGate* gate_;
    std::string name_;
  };

  // kUnavailable: another call is changing a shelf of this name.
  Result<Pass> enter(std::string_view name) {
    std::lock_guard lock(mutex_);
    if (names_.emplace(name).second) return Pass(this, std::string(name));
    return Error(Code::kUnavailable, "another call is changing this shelf: repeat the call");
  }

 private:
  void leave(const std::string& name) {
    std::lock_guard lock(mutex_);
    names_.erase(name);
  }

  std::mutex mutex_;
  std::set<std::string> names_;
};

}  // namespace pmshelf::control
