#include "server/pool/pool.h"

#include <sys/stat.h>

#include <cerrno>

#include "common/base/units.h"
#include "common/media/mirror_media.h"
#include "common/media/real_media.h"
#include "server/pool/directory_files.h"
#include "server/pool/file_lock.h"
#include "server/pool/pool_base.h"

namespace pmshelf::pool {

namespace {

Error not_a_pool(const std::string& path, const std::string& what) {
  return Error(Code::kInvalidArgument,
               "pool path " + path + " " + what + ": give a directory or a DAX character device");
}

}  // namespace

Result<std::unique_ptr<Pool>> Pool::open(const PoolOptions& options, const Clock& clock) {
  struct stat facts{};
  if (::stat(options.path.c_str(), &facts) != 0) {
    if (errno != ENOENT) return system_error(errno, "cannot stat pool path " + options.path);
    const bool dangling = ::lstat(options.path.c_str(), &facts) == 0;
    return not_a_pool(options.path, dangling ? "is a dangling link" : "does not exist");
  }
  if (S_ISDIR(facts.st_mode)) {
    if (options.device) return not_a_pool(options.path, "is a directory, not a device");
    return open_directory_pool(options, clock);
  }
  if (S_ISCHR(facts.st_mode) || (S_ISREG(facts.st_mode) && options.device)) {
    return open_device_pool(options, clock);
  }
  if (S_ISREG(facts.st_mode)) {
    return not_a_pool(options.path, "is a plain file (set 'device' to use it as a device)");
  }
  if (S_ISFIFO(facts.st_mode)) return not_a_pool(options.path, "is a FIFO");
  if (S_ISSOCK(facts.st_mode)) return not_a_pool(options.path, "is a socket");
  return not_a_pool(options.path, "is a block device (mount it with DAX, or make it devdax)");
}

Result<std::unique_ptr<media::Media>> open_media(const PoolOptions& options,
                                                 const std::string& path, bool preallocate,
                                                 bool read_only, uint64_t create_bytes) {
  media::OpenFile file;
  file.path = path;
  file.create = create_bytes != 0;
  file.create_bytes = create_bytes;
  file.preallocate = preallocate;
  file.read_only = read_only;
  PMSHELF_TRY_ASSIGN(auto media, media::open_file(file));
  if (!options.mirror_media) return media;
#ifdef PMSHELF_TEST_HOOKS
  media::MirrorOptions mirror;
  mirror.seed = options.mirror_seed;
  return media::open_mirror(std::move(media), mirror);
#else
  return Error(Code::kUnsupported, "mirror_media: only in test builds (PMSHELF_TEST_HOOKS)");
#endif
}

// ---- PoolBase

std::vector<ShelfPtr> PoolBase::all() const {
  std::lock_guard lock(mutex_);
  std::vector<ShelfPtr> shelves;
  shelves.reserve(shelves_.size());
  for (const auto& [name, shelf] : shelves_) shelves.push_back(shelf);
  return shelves;
}

std::vector<std::shared_ptr<Shelf>> PoolBase::shelves() const {
  const auto shelves = all();
  return {shelves.begin(), shelves.end()};
}

Result<ShelfPtr> PoolBase::find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  if (const auto it = shelves_.find(name); it != shelves_.end()) return it->second;
  if (const auto it = failed_.find(name); it != failed_.end()) return it->second;
  return Error(Code::kNotFound,
               "no shelf '" + std::string(name) + "' in pool '" + options_.name + "'");
}

Result<std::shared_ptr<Shelf>> PoolBase::shelf(std::string_view name) const {
  PMSHELF_TRY_ASSIGN(auto found, find(name));
  return std::shared_ptr<Shelf>(std::move(found));
}

void PoolBase::add(const std::string& name, ShelfPtr shelf) {
  std::lock_guard lock(mutex_);
  shelves_[name] = std::move(shelf);
}

void PoolBase::remove(const std::string& name) {
  ShelfPtr last;  // destroyed without the lock
  std::lock_guard lock(mutex_);
  if (const auto it = shelves_.find(name); it != shelves_.end()) {
    last = std::move(it->second);
    shelves_.erase(it);
  }
}

void PoolBase::add_note(std::string note) {
  std::lock_guard lock(mutex_);
  notes_.push_back(std::move(note));
}

void PoolBase::add_failed(const std::string& name, const Error& error) {
  std::lock_guard lock(mutex_);
  failed_.insert_or_assign(name, error.with_context("shelf '" + name + "'"));
}

std::vector<std::string> PoolBase::trouble() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> trouble;
  for (const auto& [name, error] : failed_) trouble.push_back(error.message());
  trouble.insert(trouble.end(), notes_.begin(), notes_.end());
  return trouble;
}

Result<uint64_t> PoolBase::round_capacity(uint64_t capacity_bytes) {
  if (capacity_bytes > kCapacityBytesMax) {
    return Error(Code::kInvalidArgument,
                 "capacity " + std::to_string(capacity_bytes) + " bytes is more than 2^56");
  }
  return std::max(align_up(capacity_bytes, store::kExtentBytes), store::kExtentBytes);
}

Status PoolBase::check_new(store::ShelfInfo& info) const {
  PMSHELF_TRY(check_shelf_name(info.name));
  PMSHELF_TRY_ASSIGN(info.capacity_bytes, round_capacity(info.capacity_bytes));
  const auto existing = find(info.name);
  if (existing.ok()) {
    return Error(Code::kAlreadyExists,
                 "shelf '" + info.name + "' exists in pool '" + options_.name + "'");
  }
  if (existing.code() != Code::kNotFound) {
    return Error(Code::kAlreadyExists, "files exist: " + existing.error().message());
  }
  return {};
}

Status PoolBase::update_shelf(const store::ShelfInfo& info, const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, find(info.name));
  Status done = shelf->host()->mutate([&](store::Store& s) -> Status {
    PMSHELF_TRY_ASSIGN(const auto replayed, find_replay(s, request));
    if (replayed) return {};
    PMSHELF_TRY_ASSIGN(store::ShelfInfo updated, s.shelf(shelf->id()));
    updated.owner = info.owner;
    updated.acl = info.acl;
    updated.same_host = info.same_host;
    return s.update_shelf(updated, request);
  });
  if (!done.ok()) return done.error().with_context("shelf '" + info.name + "'");
  return {};
}

}  // namespace pmshelf::pool
