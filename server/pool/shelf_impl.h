// One shelf of either kind of pool. Private to server/pool.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "common/base/unique_fd.h"
#include "server/pool/gate.h"
#include "server/pool/pool.h"

namespace pmshelf::pool {

// Where a shelf's bytes are, for those who may get at the file itself.
struct ShelfPlace {
  std::string pool_name;
  std::string data_path;   // of NAME.data, or of the device
  bool hand_over = false;  // the descriptor shows this shelf alone (directory pools)
  std::string note;        // shown in trouble(), e.g. a second hard link
};

// Owner: the pool and whoever holds the shared_ptr; after remove() every call is kNotFound. What
// the store does under its lock is short, with the exceptions that store_host.h names; zeroing of
// new regions is done outside of it.
class ShelfImpl final : public Shelf {
 public:
  ShelfImpl(std::shared_ptr<StoreHost> host, store::ShelfInfo info, ShelfPlace place);

  const std::string& pool_name() const override { return place_.pool_name; }
  store::ShelfInfo info() const override;
  store::SpaceInfo space() const override;
  media::StorageClass storage_class() const override { return storage_class_; }
  bool blocking() const override { return blocking_; }
  std::string trouble() const override;
  bool read_only() const override { return recovery_.read_only; }
  bool offline() const override;
  uint64_t key() const override { return key_; }
  int data_fd() const override;
  int data_fd_read_only() const override;
  std::string data_path() const override;

  Result<store::RegionInfo> stat(std::string_view name) const override;
  Result<std::string> attributes(store::RegionId id) const override;
  Result<std::shared_ptr<RegionRef>> open(std::string_view name) override;
  void scan(std::string_view prefix, std::string_view after, bool from_start,
            const std::function<bool(const store::RegionInfo&)>& visit) const override;

  Result<store::RegionId> create(std::string_view name, uint64_t bytes, std::string_view attributes,
                                 const store::Request& request) override;
  Status erase(store::RegionId id, const store::Request& request) override;
  Status rename(store::RegionId id, std::string_view new_name, bool replace,
                const store::Request& request) override;
  Status swap(store::RegionId a, store::RegionId b, const store::Request& request) override;
  Status resize(store::RegionId id, uint64_t bytes, const store::Request& request) override;
  Status set_attributes(store::RegionId id, std::string_view attributes,
                        const store::Request& request) override;
  Result<StagedRegion> reserve(uint64_t bytes, bool zero) override;
  void release(store::StagedId id) override;
  Result<std::vector<store::RegionId>> publish(std::span<const store::Publish> items,
                                               const store::Request& request) override;
  Status transact(std::span<const store::WriteRange> ranges,
                  const store::Request& request) override;
  Result<std::optional<store::RequestOutcome>> replay(const store::Request& request) const override;
  Result<store::CheckReport> check() override;
  const store::RecoveryReport& recovery() const override { return recovery_; }

  // ---- for the pool
  const std::shared_ptr<StoreHost>& host() const { return host_; }  // until remove()
  store::ShelfId id() const { return id_; }
  std::string name() const;
  void moved_to(std::string name, std::string data_path);
  Gate& gate() { return *gate_; }
  // After gate().close(): lets go of the store and shuts the gate.
  void remove();

 private:
  class Call;
  Result<Call> enter() const;
  // Errors that concern the whole shelf name it.
  Error named(Error error) const;
  template <class R>
  R named(R result) const {
    if (result.ok()) return result;
    return named(std::move(result).error());
  }
  Status mutate_region(store::RegionId id, const store::Request& request,
                       const std::function<Status(store::Store&)>& stage);
  Result<store::RegionId> create_staged(StoreHost& host, std::string_view name, uint64_t bytes,
                                        std::string_view attributes, const store::Request& request);
  std::shared_ptr<RegionRef> make_ref(const std::shared_ptr<StoreHost>& host, store::Pin pin,
                                      uint64_t offset, uint64_t bytes, store::RegionId id) const;
  Result<StagedRegion> reserve_zeroed(const std::shared_ptr<StoreHost>& host, uint64_t bytes,
                                      bool zero) const;

  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::shared_ptr<StoreHost> host_;  // null after remove(); read within a call
  const store::ShelfId id_;
  const uint64_t key_;
  const media::StorageClass storage_class_;
  const bool blocking_;
  const store::RecoveryReport recovery_;

  mutable std::mutex mutex_;  // guards what follows
  ShelfPlace place_;          // pool_name and hand_over never change
  store::ShelfInfo last_info_;
  mutable UniqueFd read_only_fd_;
};

// The outcome of a request that was applied before, nothing if it was not, kConflict when its id
// was used with another body.
Result<std::optional<store::RequestOutcome>> find_replay(const store::Store& store,
                                                         const store::Request& request);

}  // namespace pmshelf::pool
