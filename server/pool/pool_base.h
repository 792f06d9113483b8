// What both kinds of pool have in common. Private to server/pool.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "server/pool/pool.h"
#include "server/pool/shelf_impl.h"

namespace pmshelf::pool {

using ShelfPtr = std::shared_ptr<ShelfImpl>;

class PoolBase : public Pool {
 public:
  PoolBase(PoolOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}

  std::vector<std::shared_ptr<Shelf>> shelves() const override;
  Result<std::shared_ptr<Shelf>> shelf(std::string_view name) const override;
  Status update_shelf(const store::ShelfInfo& info, const store::Request& request) override;

 protected:
  Result<ShelfPtr> find(std::string_view name) const;
  void add(const std::string& name, ShelfPtr shelf);
  void remove(const std::string& name);
  std::vector<ShelfPtr> all() const;
  std::vector<std::string> trouble() const;
  void add_note(std::string note);
  void add_failed(const std::string& name, const Error& error);

  // Checks name and capacity, and rounds the capacity up.
  Status check_new(store::ShelfInfo& info) const;
  static Result<uint64_t> round_capacity(uint64_t capacity_bytes);

  const PoolOptions options_;
  const Clock& clock_;
  std::mutex changes_;  // the calls that change shelves; held while they block

 private:
  mutable std::mutex mutex_;  // guards what follows; after changes_
  std::map<std::string, ShelfPtr, std::less<>> shelves_;
  std::map<std::string, Error, std::less<>> failed_;  // shelves that did not open
  std::vector<std::string> notes_;
};

Result<std::unique_ptr<Pool>> open_directory_pool(const PoolOptions& options, const Clock& clock);
Result<std::unique_ptr<Pool>> open_device_pool(const PoolOptions& options, const Clock& clock);

// Opens real media, behind a mirror when the options say so.
Result<std::unique_ptr<media::Media>> open_media(const PoolOptions& options,
                                                 const std::string& path, bool preallocate,
                                                 bool read_only, uint64_t create_bytes = 0);

}  // namespace pmshelf::pool
