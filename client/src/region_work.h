// Reads, writes and flushes of a region, by mapped memory or by requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client/src/grant.h"
#include "client/src/work.h"
#include "common/wire/frame.h"
#include "pmshelf/client.h"

namespace pmshelf::client {

// Bytes of one request of a large transfer: large enough to hide a round trip, small enough that
// receiving one overlaps with flushing the one before.
inline constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
static_assert(kChunkBytes <= wire::kFramePayloadBytesMax);

// Bounds are checked already. The buffers are the caller's and outlive the call.
class RegionWork final : public Work {
 public:
  static RegionWork read(GrantState& grant, uint64_t offset, std::span<std::byte> target);
  static RegionWork write(GrantState& grant, uint64_t offset, std::span<const std::byte> source,
                          Durability durability);
  static RegionWork flush(GrantState& grant, uint64_t offset, uint64_t bytes);
  static RegionWork atomic_write8(GrantState& grant, uint64_t offset, uint64_t value);
  static RegionWork read_ranges(GrantState& grant, std::span<const Range> ranges,
                                std::span<std::byte> target);
  static RegionWork write_ranges(GrantState& grant, std::span<const Range> ranges,
                                 std::span<const std::byte> source, Durability durability);

  uint64_t offset() const { return offset_; }
  uint64_t bytes() const { return bytes_; }

  // A write of eight bytes has no request id: whether it was applied stays unknown.
  Repeat repeat() const override {
    return kind_ == Kind::kAtomicWrite8 ? Repeat::kNever : Repeat::kFreely;
  }
  uint64_t request_count() const override;
  void submit(transport::Channel& channel, wire::GrantId id, uint64_t index,
              transport::Channel::Done done) override;
  bool at_hand(Status& status) override;
  bool at_hand_through(const Attachment& attachment, Status& status) override;
  Status prepare(const Attachment& attachment, uint64_t& first) override;
  void succeeded(const Attachment& attachment) override;

 private:
  enum class Kind : uint8_t { kRead, kWrite, kFlush, kAtomicWrite8, kReadRanges, kWriteRanges };
  struct Group {  // of ranges that go in one request
    size_t first = 0, count = 0;
    uint64_t data_offset = 0, bytes = 0;
  };

  RegionWork(Kind kind, GrantState& grant, uint64_t offset, uint64_t bytes)
      : kind_(kind), grant_(grant), offset_(offset), bytes_(bytes) {}
  void group(std::span<const Range> ranges);
  bool is_read() const { return kind_ == Kind::kRead || kind_ == Kind::kReadRanges; }
  bool is_write() const { return kind_ == Kind::kWrite || kind_ == Kind::kWriteRanges; }
  bool visible_only() const { return is_write() && durability_ == Durability::kVisible; }
  Status run_mapped(const MappedGrant& mapped) const;
  Status copy_out(const std::byte* base) const;
  Status copy_in(std::byte* base) const;

  const Kind kind_;
  GrantState& grant_;
  const uint64_t offset_;
  const uint64_t bytes_;               // of the buffer; of the range for kFlush
  std::byte* target_ = nullptr;        // reads
  const std::byte* source_ = nullptr;  // writes
  uint64_t value_ = 0;                 // kAtomicWrite8
  Durability durability_ = Durability::kDurable;
  std::vector<wire::Range> ranges_;  // none longer than kChunkBytes
  std::vector<Group> groups_;
  uint64_t boot_epoch_ = 0;  // of the daemon that took the last attempt
};

}  // namespace pmshelf::client
