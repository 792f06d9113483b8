#include "tests/crash/scratch.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/units.h"

namespace pmshelf::crash {

class ScratchMedia final : public media::Media {
 public:
  ScratchMedia(Scratch& scratch, uint8_t index) : scratch_(scratch), index_(index) {}

  uint64_t bytes() const override { return image().size(); }
  media::StorageClass storage_class() const override { return media::StorageClass::kPersistent; }
  uint32_t flush_granularity_bytes() const override { return 64; }
  bool can_discard() const override { return false; }
  const std::string& name() const override { return name_; }

  Status store(uint64_t offset, std::span<const std::byte> source) override {
    PMSHELF_TRY(check(offset, source.size()));
    scratch_.write(index_, offset, source.data(), source.size());
    return {};
  }
  Status store8(uint64_t offset, uint64_t value) override {
    PMSHELF_TRY(check(offset, sizeof value));
    scratch_.write(index_, offset, reinterpret_cast<const std::byte*>(&value), sizeof value);
    return {};
  }
  Status zero(uint64_t offset, uint64_t bytes) override {
    PMSHELF_TRY(check(offset, bytes));
    static constexpr std::byte kZeros[4096] = {};
    for (uint64_t done = 0; done < bytes; done += sizeof kZeros) {
      scratch_.write(index_, offset + done, kZeros,
                     std::min<uint64_t>(sizeof kZeros, bytes - done));
    }
    return {};
  }
  Status read(uint64_t offset, std::span<std::byte> target) const override {
    PMSHELF_TRY(check(offset, target.size()));
    std::memcpy(target.data(), image().data() + offset, target.size());
    return {};
  }
  Status flush(uint64_t offset, uint64_t bytes) override { return check(offset, bytes); }
  Status drain() override { return {}; }
  Status deep_flush(uint64_t offset, uint64_t bytes) override { return check(offset, bytes); }
  Status discard(uint64_t, uint64_t) override { return Error(Code::kUnsupported, "no holes"); }
  Status resize(uint64_t bytes) override {
    scratch_.images_[index_].resize(bytes);
    return {};
  }
  std::shared_ptr<media::Mapping> mapping() const override {
    auto mapping = std::make_shared<media::Mapping>();
    mapping->data = scratch_.images_[index_].data();
    mapping->bytes = bytes();
    return mapping;
  }
  int fd() const override { return -1; }
  Result<std::vector<media::BadBlock>> bad_blocks() const override {
    return std::vector<media::BadBlock>{};
  }

 private:
  const std::vector<std::byte>& image() const { return scratch_.images_[index_]; }
  Status check(uint64_t offset, uint64_t bytes) const {
    if (range_inside(offset, bytes, image().size())) return {};
    return Error(Code::kOutOfRange, "beyond the end of the scratch image");
  }

  Scratch& scratch_;
  uint8_t index_;
  std::string name_ = "scratch";
};

Scratch::Scratch(Images images) : images_(std::move(images)) {
  for (const auto& image : images_) sizes_.push_back(image.size());
}

std::unique_ptr<media::Media> Scratch::media(uint8_t index) {
  return std::make_unique<ScratchMedia>(*this, index);
}

void Scratch::write(uint8_t media, uint64_t offset, const std::byte* source, uint64_t bytes) {
  std::vector<std::byte>& image = images_[media];
  if (offset < sizes_[media]) {  // what lies beyond was grown by this store: dropped by rewind
    const uint64_t kept = std::min(bytes, sizes_[media] - offset);
    undo_.push_back(Undo{media, offset, kept});
    undo_bytes_.insert(undo_bytes_.end(), image.data() + offset, image.data() + offset + kept);
  }
  std::memcpy(image.data() + offset, source, bytes);
}

void Scratch::poke(uint8_t media, uint64_t offset, uint64_t value) {
  write(media, offset, reinterpret_cast<const std::byte*>(&value), sizeof value);
}

void Scratch::rewind() {
  for (size_t at = 0; at < images_.size(); ++at) images_[at].resize(sizes_[at]);
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) {
    const size_t kept_at = undo_bytes_.size() - undo->bytes;
    std::memcpy(images_[undo->media].data() + undo->offset, undo_bytes_.data() + kept_at,
                undo->bytes);
    undo_bytes_.resize(kept_at);
  }
  undo_.clear();
}

void Scratch::settle(uint8_t media, uint64_t offset, uint64_t value) {
  std::memcpy(images_[media].data() + offset, &value, sizeof value);
}

void Scratch::settle_size(uint8_t media, uint64_t bytes) {
  images_[media].resize(bytes);
  sizes_[media] = bytes;
}

}  // namespace pmshelf::crash
