// Opening, figures and closing of a directory pool.
#include "server/pool/directory_pool.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/statvfs.h>

#include <cerrno>

#include "server/pool/file_lock.h"
#include "server/store/format.h"

namespace pmshelf::pool {

namespace {

// Locks on both files of a shelf; they end after its store.
struct ShelfLocks {
  UniqueFd map, data;
};

bool can_write(int directory_fd, const std::string& name) {
  return ::faccessat(directory_fd, name.c_str(), W_OK, AT_EACCESS) == 0;
}

}  // namespace

// ---- opening

Status DirectoryPool::open_all() {
  find_class();
  PMSHELF_TRY_ASSIGN(const DirectoryScan scan, recover_directory(files_, writable_));
  for (const auto& note : scan.notes) add_note(note);
  for (const auto& name : scan.shelves) {
    auto shelf = open_shelf(name);
    if (shelf.ok()) {
      add(name, *std::move(shelf));
    } else {
      add_failed(name, shelf.error());
      spdlog::error("pool '{}': shelf '{}' did not open: {}", options_.name, name,
                    shelf.error().to_string());
    }
  }
  return {};
}

// What is odd about the files, but no reason not to open them.
Result<std::string> DirectoryPool::check_files(const std::string& name, bool read_only) const {
  std::string note = read_only ? "the files cannot be written: opened read-only" : "";
  for (const auto& file : {map_name(name), data_name(name)}) {
    PMSHELF_TRY_ASSIGN(const struct stat facts, files_.facts(file));
    if (facts.st_nlink > 1) {
      note += (note.empty() ? "file " : "; file ") + files_.path_of(file) + " has " +
              std::to_string(facts.st_nlink) +
              " hard links: whoever writes through another one damages this shelf";
    }
  }
  return note;
}

Result<ShelfPtr> DirectoryPool::open_shelf(const std::string& name) {
  const std::string map_path = files_.path_of(map_name(name));
  const std::string data_path = files_.path_of(data_name(name));
  if (!files_.exists(data_name(name))) {
    return Error(Code::kCorrupt, "file " + data_path + " is missing");
  }
  auto locks = std::make_shared<ShelfLocks>();
  PMSHELF_TRY_ASSIGN(locks->map, open_locked(files_.fd(), map_name(name)));
  PMSHELF_TRY_ASSIGN(locks->data, open_locked(files_.fd(), data_name(name)));
  const bool read_only = !writable_ || !can_write(files_.fd(), map_name(name)) ||
                         !can_write(files_.fd(), data_name(name));
  PMSHELF_TRY_ASSIGN(std::string note, check_files(name, read_only));

  PMSHELF_TRY_ASSIGN(auto map, open_media(options_, map_path, /*preallocate=*/true, read_only));
  PMSHELF_TRY_ASSIGN(auto data, open_media(options_, data_path, options_.preallocate, read_only));
  PMSHELF_TRY_ASSIGN(auto opened, store::Store::open(std::move(map), std::move(data),
                                                     {.read_only = read_only}, clock_));
  auto host = std::make_shared<StoreHost>(std::move(opened), std::move(locks));
  PMSHELF_TRY_ASSIGN(store::ShelfInfo info, settle_record(*host, name));
  ShelfPlace place{options_.name, data_path, /*hand_over=*/true, std::move(note)};
  return std::make_shared<ShelfImpl>(std::move(host), std::move(info), std::move(place));
}

// The one shelf of the store. The file's name is its name: after a rename that a crash cut short
// the record follows.
Result<store::ShelfInfo> DirectoryPool::settle_record(StoreHost& host, const std::string& name) {
  const auto shelves = host.query([](const store::Store& s) { return s.shelves(); });
  if (shelves.size() != 1) {
    return Error(Code::kCorrupt,
                 "the store holds " + std::to_string(shelves.size()) + " shelves instead of one");
  }
  store::ShelfInfo info = shelves.front();
  const bool read_only = host.query([](const store::Store& s) { return s.recovery().read_only; });
  const std::string recorded = info.name;
  info.name = name;
  if (read_only) return info;
  PMSHELF_TRY(trim_data(host, info.capacity_bytes));
  if (recorded == name) return info;
  PMSHELF_TRY(host.mutate([&info](store::Store& s) { return s.update_shelf(info, {}); }));
  recovered_renames_[name] = recorded;
  spdlog::warn("pool '{}': shelf '{}' was recorded as '{}'; renamed as its file is", options_.name,
               name, recorded);
  return info;
}

// A grow that was not recorded, or a shrink whose file was not cut, leaves the file too long.
Status DirectoryPool::trim_data(StoreHost& host, uint64_t capacity_bytes) {
  if (host.data().bytes() <= data_file_bytes(capacity_bytes)) return {};
  return resize_data(host, capacity_bytes);
}

Status DirectoryPool::resize_data(StoreHost& host, uint64_t capacity_bytes) {
  return host.exclusive(
      [&](store::Store& s) { return s.data().resize(data_file_bytes(capacity_bytes)); });
}

Status DirectoryPool::check_changeable(const ShelfImpl& shelf) {
  if (const auto failure = shelf.host()->failure()) return *failure;
  if (!shelf.read_only()) return {};
  return Error(Code::kReadOnly, "shelf '" + shelf.name() + "' is read-only: " + shelf.trouble());
}

Status DirectoryPool::check_writable() const {
  if (writable_) return {};
  return Error(Code::kReadOnly, "pool directory " + files_.path() + " cannot be written");
}

// ---- the rest

Result<FileSystem> DirectoryPool::file_system() const {
  struct statvfs facts{};
  if (::fstatvfs(files_.fd(), &facts) != 0) return system_error(errno, files_.path());
  return FileSystem{uint64_t{facts.f_blocks} * facts.f_frsize,
                    uint64_t{facts.f_bavail} * facts.f_frsize};
}

// Of the lock file, which is as good as any other: shelves may be missing yet.
void DirectoryPool::find_class() {
  if (!lock_fd_) return;
  const auto media = open_media(options_, files_.path_of(kPoolLockName), false, true);
  if (media.ok()) class_ = (*media)->storage_class();
}

PoolStat DirectoryPool::stat() const {
  PoolStat stat;
  stat.name = options_.name;
  stat.path = options_.path;
  stat.preallocate = options_.preallocate;
  const auto shelves = all();
  stat.shelf_count = shelves.size();
  stat.storage_class = class_;
  if (const auto space = file_system(); space.ok()) {
    stat.total_bytes = space->total_bytes;
    stat.available_bytes = space->available_bytes;
  }
  stat.trouble = trouble();
  return stat;
}

Status DirectoryPool::close() {
  std::lock_guard lock(changes_);
  Status first;
  for (const auto& shelf : all()) {
    if (Status closed = shelf->host()->close(); !closed.ok() && first.ok()) {
      first = closed.error().with_context("shelf '" + shelf->name() + "'");
    }
  }
  return first;
}

Result<std::unique_ptr<Pool>> open_directory_pool(const PoolOptions& options, const Clock& clock) {
  PMSHELF_TRY_ASSIGN(DirectoryFiles files, DirectoryFiles::open(options.path));
  const bool writable = files.writable();
  PMSHELF_TRY_ASSIGN(UniqueFd lock_fd,
                     lock_pool_directory(files.fd(), options.path, options.owner_note, writable));
  auto pool = std::make_unique<DirectoryPool>(options, clock, std::move(files), std::move(lock_fd),
                                              writable);
  PMSHELF_TRY(pool->open_all());
  return std::unique_ptr<Pool>(std::move(pool));
}

}  // namespace pmshelf::pool
