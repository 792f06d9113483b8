#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>

#include "common/media/dram_space.h"
#include "common/media/range.h"
#include "common/media/recording_media.h"

namespace pmshelf::media {
namespace {

// Owner of its DramSpace. Threads: as Media says.
class MemoryMedia final : public Media {
 public:
  MemoryMedia(std::shared_ptr<DramSpace> space, uint64_t bytes)
      : space_(std::move(space)), bytes_(bytes), mapping_(map_dram(space_, bytes)) {}

  uint64_t bytes() const override { return bytes_.load(std::memory_order_acquire); }
  StorageClass storage_class() const override { return StorageClass::kPersistent; }
  uint32_t flush_granularity_bytes() const override { return kLineBytes; }
  bool can_discard() const override { return false; }
  const std::string& name() const override { return name_; }

  Status store(uint64_t offset, std::span<const std::byte> source) override {
    PMSHELF_TRY(check_range(name_, offset, source.size(), bytes()));
    if (!source.empty()) std::memcpy(space_->data() + offset, source.data(), source.size());
    return {};
  }
  Status store8(uint64_t offset, uint64_t value) override {
    PMSHELF_TRY(check_word(name_, offset, bytes()));
    auto* const word = reinterpret_cast<uint64_t*>(space_->data() + offset);
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    return {};
  }
  Status zero(uint64_t offset, uint64_t bytes_to_zero) override {
    PMSHELF_TRY(check_range(name_, offset, bytes_to_zero, bytes()));
    std::memset(space_->data() + offset, 0, bytes_to_zero);
    return {};
  }
  Status read(uint64_t offset, std::span<std::byte> target) const override {
    PMSHELF_TRY(check_range(name_, offset, target.size(), bytes()));
    if (!target.empty()) std::memcpy(target.data(), space_->data() + offset, target.size());
    return {};
  }

  Status flush(uint64_t offset, uint64_t bytes_to_flush) override {
    return check_range(name_, offset, bytes_to_flush, bytes());
  }
  Status drain() override { return {}; }
  Status deep_flush(uint64_t offset, uint64_t bytes_to_flush) override {
    return check_range(name_, offset, bytes_to_flush, bytes());
  }
  Status discard(uint64_t, uint64_t) override {
    return Error(Code::kUnsupported, name_ + ": cannot discard");
  }

  Status resize(uint64_t new_bytes) override {
    // Cut before the memory goes, extend after it came: readers never see more than there is.
    if (new_bytes < bytes()) bytes_.store(new_bytes, std::memory_order_release);
    PMSHELF_TRY(space_->resize(new_bytes));
    bytes_.store(new_bytes, std::memory_order_release);
    const std::lock_guard lock(mutex_);
    mapping_ = map_dram(space_, new_bytes);
    return {};
  }

  std::shared_ptr<Mapping> mapping() const override {
    const std::lock_guard lock(mutex_);
    return mapping_;
  }
  int fd() const override { return -1; }
  Result<std::vector<BadBlock>> bad_blocks() const override { return std::vector<BadBlock>(); }

 private:
  const std::string name_ = "memory";
  const std::shared_ptr<DramSpace> space_;
  std::atomic<uint64_t> bytes_;
  mutable std::mutex mutex_;  // guards mapping_
  std::shared_ptr<Mapping> mapping_;
};

}  // namespace

std::unique_ptr<Media> make_memory_media(std::vector<std::byte> initial) {
  auto space = DramSpace::make(DramSpace::Kind::kPrivate, initial.size());
  if (!space.ok()) throw std::bad_alloc();
  // Fresh memory is zero: zero pages cost neither memory nor a page fault.
  for (size_t offset = 0; offset < initial.size(); offset += kPageBytes) {
    const size_t bytes = std::min<size_t>(kPageBytes, initial.size() - offset);
    const std::byte* const page = initial.data() + offset;
    if (!is_zero(page, bytes)) std::memcpy((*space)->data() + offset, page, bytes);
  }
  return std::make_unique<MemoryMedia>(*std::move(space), initial.size());
}

}  // namespace pmshelf::media
