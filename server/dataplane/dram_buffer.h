// A payload in DRAM, charged to the budget.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "common/base/units.h"
#include "pmshelf/result.h"
#include "server/dataplane/memory_budget.h"

namespace pmshelf::dataplane {

// Not zeroed: the transport fills all of it before the operation runs. Move-only.
class DramBuffer {
 public:
  // kResourceExhausted names the setting.
  static Result<DramBuffer> make(MemoryBudget& budget, size_t bytes) {
    DramBuffer buffer;
    buffer.share_ = budget.take(bytes);
    if (!buffer.share_) {
      return Error(Code::kResourceExhausted,
                   "the memory for payloads on their way is used up ([data] buffer_memory = " +
                       format_bytes(budget.bytes_max()) + "): retry");
    }
    buffer.bytes_.reset(new (std::nothrow) std::byte[bytes]);
    if (buffer.bytes_ == nullptr) {
      return Error(Code::kResourceExhausted, "the daemon is out of memory: retry");
    }
    buffer.size_ = bytes;
    return buffer;
  }
  std::byte* data() const { return bytes_.get(); }
  std::span<const std::byte> span() const { return {bytes_.get(), size_}; }

 private:
  DramBuffer() = default;
  MemoryBudget::Share share_;
  std::unique_ptr<std::byte[]> bytes_;
  size_t size_ = 0;
};

}  // namespace pmshelf::dataplane
