// A directory whose shelves are stores of two files each. Private to server/pool.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "common/base/unique_fd.h"
#include "server/pool/directory_files.h"
#include "server/pool/pool_base.h"
#include "server/store/format.h"

namespace pmshelf::pool {

struct FileSystem {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
};

// Length of NAME.data.
constexpr uint64_t data_file_bytes(uint64_t capacity_bytes) {
  return store::kDirectoryDataBegin + capacity_bytes;
}

class DirectoryPool final : public PoolBase {
 public:
  DirectoryPool(const PoolOptions& options, const Clock& clock, DirectoryFiles files,
                UniqueFd lock_fd, bool writable)
      : PoolBase(options, clock),
        files_(std::move(files)),
        lock_fd_(std::move(lock_fd)),
        writable_(writable) {}

  Status open_all();

  PoolStat stat() const override;
  Result<std::shared_ptr<Shelf>> create_shelf(store::ShelfInfo info,
                                              const store::Request& request) override;
  Status erase_shelf(std::string_view name, const store::Request& request) override;
  Status rename_shelf(std::string_view name, std::string_view new_name,
                      const store::Request& request) override;
  Status resize_shelf(std::string_view name, uint64_t capacity_bytes,
                      const store::Request& request) override;
  Status close() override;

 private:
  struct Erasure {
    store::Request request;
    uint64_t boot_ms = 0;
  };

  Result<ShelfPtr> open_shelf(const std::string& name);
  Result<std::string> check_files(const std::string& name, bool read_only) const;
  Result<store::ShelfInfo> settle_record(StoreHost& host, const std::string& name);
  Status trim_data(StoreHost& host, uint64_t capacity_bytes);
  void find_class();
  Status make_files(const store::ShelfInfo& info, const store::Request& request);
  // The shelf that the request was applied to, whatever it is called by now; null: none.
  Result<ShelfPtr> find_applied(const store::Request& request) const;
  Result<FileSystem> file_system() const;
  Status check_space(uint64_t capacity_bytes) const;
  Status check_writable() const;
  // Before files are touched: the record that goes with it could not be written.
  static Status check_changeable(const ShelfImpl& shelf);
  Result<bool> erased_before(const store::Request& request);
  Status resize_data(StoreHost& host, uint64_t capacity_bytes);

  DirectoryFiles files_;
  const UniqueFd lock_fd_;
  const bool writable_;
  media::StorageClass class_ = media::StorageClass::kFile;
  // Guarded by changes_.
  std::deque<Erasure> erasures_;
  // Renames that recovery completed, new name -> old: their requests were not recorded.
  std::map<std::string, std::string, std::less<>> recovered_renames_;
};

}  // namespace pmshelf::pool
