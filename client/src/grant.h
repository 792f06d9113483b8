// A grant on one region, as the client holds it.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "client/src/holding.h"
#include "client/src/unflushed.h"
#include "common/media/media.h"
#include "common/transport/channel.h"
#include "pmshelf/client.h"
#include "pmshelf/result.h"

namespace pmshelf::client {

// A grant is mapped at its second use, or at the first that moves this much.
inline constexpr uint64_t kMapAtOnceBytes = 64 * 1024;

// The public header has its own copy of the numbers.
inline media::StorageClass on_media(StorageClass storage_class) {
  return static_cast<media::StorageClass>(storage_class);
}

// Bytes of the region in this process. The last copy of range.keep_alive unmaps.
struct MappedGrant {
  transport::MappedRange range;
  ChannelPtr channel;
  wire::GrantId id;
  uint64_t generation = 0;
};
using MappedGrantPtr = std::shared_ptr<const MappedGrant>;

// Owners: the handles of one region (Region, Mapping) and calls in progress; the last gives the
// grant back. Thread-safe. attach() fails with kStaleGrant when the region was erased, replaced or
// renamed since, or was staged and went with its session.
class GrantState final : public Holding, public std::enable_shared_from_this<GrantState> {
 public:
  // `name` is empty for staged regions.
  GrantState(CoreRef core, std::string shelf, std::string name, const v1::Grant& grant, Held held);
  ~GrantState() override;

  SameHostPolicy policy() const override { return policy_.load(std::memory_order_relaxed); }
  void invalidate(wire::GrantId id) override;

  const std::string& shelf() const { return shelf_; }
  const std::string& name() const;
  uint64_t region_id() const { return region_id_.load(std::memory_order_acquire); }
  uint64_t bytes() const { return bytes_; }
  uint32_t rights() const { return rights_; }
  StorageClass storage_class() const { return storage_class_; }
  // A staged region got a name. Once; later calls are ignored.
  void named(std::string name, uint64_t region_id);

  // The mapped bytes, if there are any and connection and session live.
  MappedGrantPtr mapped();
  // Maps through the channel; asked once per session. Blocks. kUnsupported: path or policy.
  Result<MappedGrantPtr> map(const Attachment& attachment);
  // Whether this use of so many bytes should try to map first.
  bool wants_map(const Attachment& attachment, uint64_t bytes);

  Unflushed& unflushed() { return unflushed_; }

 private:
  Result<Held> open_again(Time deadline) override;
  void drop_map();

  const std::string shelf_;
  const uint64_t bytes_;
  const uint32_t rights_;
  const StorageClass storage_class_;
  const bool staged_;

  std::mutex mutex_;  // guards what has no atomics
  const std::string first_name_;
  std::string later_name_;  // written once, before named_later_
  std::atomic<bool> named_later_{false};
  std::atomic<uint64_t> region_id_;
  std::atomic<SameHostPolicy> policy_;
  MappedGrantPtr mapped_;
  uint64_t map_refused_generation_ = 0;
  Error map_refusal_{Code::kUnsupported, "not mapped"};
  std::atomic<uint32_t> uses_{0};
  Unflushed unflushed_;
};
using GrantPtr = std::shared_ptr<GrantState>;

}  // namespace pmshelf::client
