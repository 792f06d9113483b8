// A store over DRAM that can be closed, killed, damaged and opened again.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/base/endian.h"
#include "common/base/units.h"
#include "common/media/faulty_media.h"
#include "common/media/forwarding_media.h"
#include "common/media/recording_media.h"
#include "server/store/attributes.h"
#include "server/store/format.h"
#include "server/store/store.h"

namespace pmshelf::store {

// Passes everything on to media that outlive it. What a store sees of its file.
class SharedMedia final : public media::Media {
 public:
  explicit SharedMedia(std::shared_ptr<media::Media> inner) : inner_(std::move(inner)) {}
  uint64_t bytes() const override { return inner_->bytes(); }
  media::StorageClass storage_class() const override { return inner_->storage_class(); }
  uint32_t flush_granularity_bytes() const override { return inner_->flush_granularity_bytes(); }
  bool can_discard() const override { return inner_->can_discard(); }
  const std::string& name() const override { return inner_->name(); }
  Status store(uint64_t offset, std::span<const std::byte> source) override {
    return inner_->store(offset, source);
  }
  Status store8(uint64_t offset, uint64_t value) override { return inner_->store8(offset, value); }
  Status zero(uint64_t offset, uint64_t bytes) override { return inner_->zero(offset, bytes); }
  Status read(uint64_t offset, std::span<std::byte> target) const override {
    return inner_->read(offset, target);
  }
  Status flush(uint64_t offset, uint64_t bytes) override { return inner_->flush(offset, bytes); }
  Status drain() override { return inner_->drain(); }
  Status deep_flush(uint64_t offset, uint64_t bytes) override {
    return inner_->deep_flush(offset, bytes);
  }
  Status discard(uint64_t offset, uint64_t bytes) override {
    return inner_->discard(offset, bytes);
  }
  Status resize(uint64_t bytes) override { return inner_->resize(bytes); }
  std::shared_ptr<media::Mapping> mapping() const override { return inner_->mapping(); }
  int fd() const override { return inner_->fd(); }
  Result<std::vector<media::BadBlock>> bad_blocks() const override { return inner_->bad_blocks(); }

 private:
  const std::shared_ptr<media::Media> inner_;
};

// Printed by every random test; PMSHELF_TEST_SEED repeats one.
inline uint64_t test_seed() {
  const char* given = std::getenv("PMSHELF_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The media of one store, and the store while it is open.
class StoreBox {
 public:
  static constexpr uint64_t kDeviceMetadata = 8 * kMiB;

  // `extents` of data space.
  static StoreBox directory(uint64_t extents) {
    StoreBox box;
    box.map = media::make_memory_media(std::vector<std::byte>(kMetadataBytesMin));
    box.data = media::make_memory_media(std::vector<std::byte>((extents + 1) * kExtentBytes));
    EXPECT_TRUE(Store::format(*box.map, box.data.get(), {}, box.clock()).ok());
    return box;
  }
  static StoreBox device(uint64_t extents) {
    StoreBox box;
    box.map =
        media::make_memory_media(std::vector<std::byte>(kDeviceMetadata + extents * kExtentBytes));
    FormatOptions options;
    options.device = true;
    options.metadata_bytes = kDeviceMetadata;
    EXPECT_TRUE(Store::format(*box.map, nullptr, options, box.clock()).ok());
    return box;
  }

  Status try_open(OpenOptions options = {}) {
    store.reset();
    auto opened =
        Store::open(std::make_unique<SharedMedia>(map),
                    data ? std::make_unique<SharedMedia>(data) : nullptr, options, clock());
    if (!opened.ok()) return opened.error();
    store = *std::move(opened);
    return {};
  }
  void open() {
    const Status opened = try_open();
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  }
  // As a killed daemon would: without close.
  void reopen() {
    kill();
    open();
  }
  void kill() { store.reset(); }
  // With one shelf that has all of the data space.
  void open_with_shelf() {
    open();
    ASSERT_NE(store, nullptr);
    ShelfInfo info;
    info.name = "shelf";
    info.capacity_bytes = store->space().capacity_bytes;
    const auto made = store->create_shelf(info, {});
    ASSERT_TRUE(made.ok()) << made.error().to_string();
    shelf = *made;
    sync();
  }
  void sync() {
    const Status synced = store->sync();
    ASSERT_TRUE(synced.ok()) << synced.error().to_string();
  }
  RegionId create(std::string_view name, uint64_t bytes, std::string_view attributes = {}) {
    const auto made = store->create(shelf, name, bytes, attributes, {});
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    return made.ok() ? *made : 0;
  }
  media::Media& bytes_media() { return data ? *data : *map; }
  // As a client does: written and flushed.
  void write(RegionId id, uint64_t offset, std::string_view text) {
    const auto info = store->region(id);
    ASSERT_TRUE(info.ok());
    ASSERT_LE(offset + text.size(), info->bytes);
    ASSERT_TRUE(bytes_media().store(info->offset + offset, bytes_of(text)).ok());
    ASSERT_TRUE(bytes_media().flush(info->offset + offset, text.size()).ok());
    ASSERT_TRUE(bytes_media().drain().ok());
  }
  std::string read(RegionId id) {
    const auto info = store->region(id);
    EXPECT_TRUE(info.ok());
    if (!info.ok()) return "?";
    return read_at(bytes_media(), info->offset, info->bytes);
  }
  static std::string read_at(const media::Media& media, uint64_t offset, uint64_t bytes) {
    std::string out(bytes, '\0');
    EXPECT_TRUE(media.read(offset, std::as_writable_bytes(std::span(out))).ok());
    return out;
  }
  void expect_clean() {
    const auto report = store->check();
    ASSERT_TRUE(report.ok()) << report.error().to_string();
    for (const std::string& problem : report->problems) ADD_FAILURE() << problem;
  }
  void flip_bit(uint64_t offset, int bit) {
    std::byte value;
    ASSERT_TRUE(map->read(offset, {&value, 1}).ok());
    value ^= std::byte(1 << bit);
    ASSERT_TRUE(map->store(offset, {&value, 1}).ok());
  }
  Superblock superblock(int copy) const {
    std::array<std::byte, kSuperblockBytes> bytes;
    EXPECT_TRUE(map->read(kSuperblockOffsets[copy], bytes).ok());
    const auto decoded = decode_superblock(bytes);
    EXPECT_TRUE(decoded.ok());
    return decoded.ok() ? *decoded : Superblock{};
  }
  Superblock newest_superblock() const {
    const Superblock a = superblock(0), b = superblock(1);
    return a.generation > b.generation ? a : b;
  }
  const Clock& clock() const { return *clock_; }
  ManualClock& manual_clock() { return *clock_; }

  std::shared_ptr<media::Media> map;
  std::shared_ptr<media::Media> data;  // null: a device
  std::unique_ptr<Store> store;        // after the media: gone before them
  ShelfId shelf = 0;

 private:
  std::unique_ptr<ManualClock> clock_ = std::make_unique<ManualClock>();
};

inline std::string encoded_attributes(Attributes attributes) {
  return *encode_attributes(attributes);
}

}  // namespace pmshelf::store
