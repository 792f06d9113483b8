// A device (or a plain file standing in for one): one store that holds all its shelves.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/units.h"
#include "server/pool/file_lock.h"
#include "server/pool/pool_base.h"

namespace pmshelf::pool {

namespace {

// Where other formats have their marks: file systems, partition tables, RAID, pools of others.
constexpr uint64_t kBlankHeadBytes = 64 * kMiB;
constexpr uint64_t kBlankTailBytes = 4 * kMiB;
constexpr uint64_t kReadChunkBytes = kMiB;

Result<bool> is_blank(const media::Media& media, uint64_t begin, uint64_t end) {
  const std::vector<std::byte> zeros(kReadChunkBytes);
  std::vector<std::byte> chunk(kReadChunkBytes);
  for (uint64_t offset = begin; offset < end; offset += chunk.size()) {
    chunk.resize(std::min(kReadChunkBytes, end - offset));
    PMSHELF_TRY(media.read(offset, chunk));
    if (std::memcmp(chunk.data(), zeros.data(), chunk.size()) != 0) return false;
  }
  return true;
}

// Formats when nothing is there and `format` asks for it.
Status settle_format(media::Media& media, const PoolOptions& options, const Clock& clock) {
  const uint64_t head = std::min(kBlankHeadBytes, media.bytes());
  const uint64_t tail = media.bytes() - std::min(kBlankTailBytes, media.bytes());
  // A store's superblocks are in its first extents.
  PMSHELF_TRY_ASSIGN(const bool head_blank, is_blank(media, 0, head));
  if (!head_blank) return {};  // a store, or something that Store::open refuses
  PMSHELF_TRY_ASSIGN(const bool tail_blank, is_blank(media, tail, media.bytes()));
  if (!tail_blank) {
    return Error(Code::kInvalidArgument,
                 "device " + options.path + " holds no store but other data: wipe it first");
  }
  if (!options.format) {
    return Error(Code::kInvalidArgument,
                 "device " + options.path + " holds no store yet: set 'format' to make one");
  }
  return store::Store::format(media, nullptr, {.device = true}, clock);
}

class DevicePool final : public PoolBase {
 public:
  DevicePool(const PoolOptions& options, const Clock& clock, std::shared_ptr<StoreHost> host,
             std::string note)
      : PoolBase(options, clock), host_(std::move(host)), note_(std::move(note)) {
    for (auto& info : host_->query([](const store::Store& s) { return s.shelves(); })) {
      add_shelf(std::move(info));
    }
  }

  PoolStat stat() const override;
  Result<std::shared_ptr<Shelf>> create_shelf(store::ShelfInfo info,
                                              const store::Request& request) override;
  Status erase_shelf(std::string_view name, const store::Request& request) override;
  Status rename_shelf(std::string_view name, std::string_view new_name,
                      const store::Request& request) override;
  Status resize_shelf(std::string_view name, uint64_t capacity_bytes,
                      const store::Request& request) override;
  Status close() override {
    std::lock_guard lock(changes_);
    return host_->close();
  }

 private:
  ShelfPtr add_shelf(store::ShelfInfo info);
  Result<std::optional<store::RequestOutcome>> replay(const store::Request& request);

  const std::shared_ptr<StoreHost> host_;
  const std::string note_;
};

ShelfPtr DevicePool::add_shelf(store::ShelfInfo info) {
  const std::string name = info.name;
  ShelfPlace place{options_.name, options_.path, /*hand_over=*/false, note_};
  auto shelf = std::make_shared<ShelfImpl>(host_, std::move(info), std::move(place));
  add(name, shelf);
  return shelf;
}

// As Shelf::replay: durable when there is an outcome.
Result<std::optional<store::RequestOutcome>> DevicePool::replay(const store::Request& request) {
  PMSHELF_TRY_ASSIGN(const auto done,
                     host_->query([&](const store::Store& s) { return find_replay(s, request); }));
  if (done) PMSHELF_TRY(host_->mutate([](store::Store&) { return Status(); }));
  return done;
}

Result<std::shared_ptr<Shelf>> DevicePool::create_shelf(store::ShelfInfo info,
                                                        const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY_ASSIGN(const auto done, replay(request));
  if (done) {
    for (const auto& shelf : all()) {
      if (shelf->id() == done->result) return std::shared_ptr<Shelf>(shelf);
    }
    return Error(Code::kNotFound, "the shelf was created by this request and erased since");
  }
  PMSHELF_TRY(check_new(info));
  auto made = host_->mutate([&](store::Store& s) -> Result<store::ShelfInfo> {
    PMSHELF_TRY_ASSIGN(const store::ShelfId id, s.create_shelf(info, request));
    return s.shelf(id);
  });
  if (!made.ok()) return std::move(made).error();
  return std::shared_ptr<Shelf>(add_shelf(*std::move(made)));
}

Status DevicePool::erase_shelf(std::string_view name, const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY_ASSIGN(const auto done, replay(request));
  if (done) return {};
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, find(name));
  const std::string shelf_name(name);
  Status closed = shelf->gate().close();
  if (!closed.ok()) return closed.error().with_context("shelf '" + shelf_name + "'");
  Status erased =
      host_->mutate([&](store::Store& s) { return s.erase_shelf(shelf->id(), request); });
  if (!erased.ok()) {
    shelf->gate().reopen();
    return erased;
  }
  shelf->remove();
  remove(shelf_name);
  return {};
}

Status DevicePool::rename_shelf(std::string_view name, std::string_view new_name,
                                const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY_ASSIGN(const auto done, replay(request));
  if (done) return {};
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, find(name));
  const std::string old_name(name), final_name(new_name);
  store::ShelfInfo info;
  info.name = final_name;
  PMSHELF_TRY(check_new(info));
  PMSHELF_TRY(host_->mutate([&](store::Store& s) -> Status {
    PMSHELF_TRY_ASSIGN(info, s.shelf(shelf->id()));
    info.name = final_name;
    return s.update_shelf(info, request);
  }));
  shelf->moved_to(final_name, options_.path);
  add(final_name, shelf);
  remove(old_name);
  return {};
}

Status DevicePool::resize_shelf(std::string_view name, uint64_t capacity_bytes,
                                const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY_ASSIGN(const auto done, replay(request));
  if (done) return {};
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, find(name));
  PMSHELF_TRY_ASSIGN(const uint64_t capacity, round_capacity(capacity_bytes));
  return host_->mutate(
      [&](store::Store& s) { return s.resize_shelf(shelf->id(), capacity, request); });
}

PoolStat DevicePool::stat() const {
  PoolStat stat;
  stat.name = options_.name;
  stat.path = options_.path;
  stat.device = true;
  stat.storage_class = host_->data().storage_class();
  stat.total_bytes = host_->data().bytes();
  host_->query([&stat](const store::Store& s) {
    const store::SpaceInfo space = s.space();
    stat.available_bytes = space.capacity_bytes - space.metadata_bytes;
    for (const auto& shelf : s.shelves()) {
      stat.available_bytes -= std::min(stat.available_bytes, shelf.capacity_bytes);
      ++stat.shelf_count;
    }
  });
  stat.trouble = trouble();
  return stat;
}

}  // namespace

Result<std::unique_ptr<Pool>> open_device_pool(const PoolOptions& options, const Clock& clock) {
  auto lock_fd =
      std::make_shared<UniqueFd>(::open(options.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!*lock_fd) return system_error(errno, "cannot open device " + options.path);
  PMSHELF_TRY(lock_descriptor(lock_fd->get(), "pool device " + options.path));
  const bool read_only = ::faccessat(AT_FDCWD, options.path.c_str(), W_OK, AT_EACCESS) != 0;
  PMSHELF_TRY_ASSIGN(auto media, open_media(options, options.path, false, read_only));
  PMSHELF_TRY(settle_format(*media, options, clock));
  PMSHELF_TRY_ASSIGN(
      auto opened, store::Store::open(std::move(media), nullptr, {.read_only = read_only}, clock));
  auto host = std::make_shared<StoreHost>(std::move(opened), std::move(lock_fd));
  std::string note = read_only ? "the device cannot be written: opened read-only" : "";
  return std::unique_ptr<Pool>(
      std::make_unique<DevicePool>(options, clock, std::move(host), std::move(note)));
}

}  // namespace pmshelf::pool
