// A media that passes every call to another one: the base of wrappers. Internal to common/media.
#pragma once

#include <memory>
#include <utility>

#include "common/media/media.h"

namespace pmshelf::media {

// Owns the inner media. Threads: those of the inner media.
class ForwardingMedia : public Media {
 public:
  explicit ForwardingMedia(std::unique_ptr<Media> inner) : inner_(std::move(inner)) {}

  uint64_t bytes() const override { return inner_->bytes(); }
  StorageClass storage_class() const override { return inner_->storage_class(); }
  uint32_t flush_granularity_bytes() const override { return inner_->flush_granularity_bytes(); }
  bool can_discard() const override { return inner_->can_discard(); }
  const std::string& name() const override { return inner_->name(); }
  Status store(uint64_t offset, std::span<const std::byte> source) override {
    return inner_->store(offset, source);
  }
  Status store8(uint64_t offset, uint64_t value) override { return inner_->store8(offset, value); }
  Status zero(uint64_t offset, uint64_t length) override { return inner_->zero(offset, length); }
  Status read(uint64_t offset, std::span<std::byte> target) const override {
    return inner_->read(offset, target);
  }
  Status flush(uint64_t offset, uint64_t length) override { return inner_->flush(offset, length); }
  Status drain() override { return inner_->drain(); }
  Status deep_flush(uint64_t offset, uint64_t length) override {
    return inner_->deep_flush(offset, length);
  }
  Status discard(uint64_t offset, uint64_t length) override {
    return inner_->discard(offset, length);
  }
  Status resize(uint64_t new_bytes) override { return inner_->resize(new_bytes); }
  std::shared_ptr<Mapping> mapping() const override { return inner_->mapping(); }
  int fd() const override { return inner_->fd(); }
  Result<std::vector<BadBlock>> bad_blocks() const override { return inner_->bad_blocks(); }

 protected:
  const std::unique_ptr<Media> inner_;
};

}  // namespace pmshelf::media
