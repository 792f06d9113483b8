// One bound on the DRAM that requests of all connections hold together.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace pmshelf::dataplane {

// Owner: app; outlives every Share. Any thread.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Bytes taken from the budget, given back at its end. Move-only; empty when there was no room.
  class Share {
   public:
    Share() = default;
    Share(MemoryBudget& budget, uint64_t bytes) : budget_(&budget), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      budget_ = std::exchange(other.budget_, nullptr);
      bytes_ = other.bytes_;
      return *this;
    }
    ~Share() { give_back(); }
    explicit operator bool() const { return budget_ != nullptr; }

   private:
    void give_back() {
      if (budget_ != nullptr) budget_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
      budget_ = nullptr;
    }
    MemoryBudget* budget_ = nullptr;
    uint64_t bytes_ = 0;
  };

  Share take(uint64_t bytes) {
    const uint64_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before <= bytes_max_ && bytes <= bytes_max_ - before) return Share(*this, bytes);
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return {};
  }
  uint64_t used_bytes() const { return used_.load(std::memory_order_relaxed); }
  uint64_t bytes_max() const { return bytes_max_; }

 private:
  const uint64_t bytes_max_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace pmshelf::dataplane
