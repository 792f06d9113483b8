// The calls that change the shelves of a directory pool.
#include <algorithm>
#include <cerrno>

#include "server/pool/directory_pool.h"
#include "server/pool/file_lock.h"
#include "server/store/format.h"

namespace pmshelf::pool {

// ---- create

Status DirectoryPool::check_space(uint64_t capacity_bytes) const {
  if (!options_.preallocate) return {};
  PMSHELF_TRY_ASSIGN(const FileSystem space, file_system());
  const uint64_t asked = data_file_bytes(capacity_bytes) + store::kMetadataBytesMin;
  if (asked <= space.available_bytes) return {};
  return Error(Code::kNoSpace, "the shelf needs " + std::to_string(asked) + " bytes, of " +
                                   std::to_string(space.total_bytes) + " that " + files_.path() +
                                   " has " + std::to_string(space.available_bytes) +
                                   " are available");
}

Result<ShelfPtr> DirectoryPool::find_applied(const store::Request& request) const {
  if (!request.id) return ShelfPtr();
  for (const auto& shelf : all()) {
    auto done = shelf->replay(request);
    if (done.code() == Code::kConflict) return std::move(done).error();
    if (done.ok() && *done) return shelf;  // an offline shelf has no say
  }
  return ShelfPtr();
}

Status DirectoryPool::make_files(const store::ShelfInfo& info, const store::Request& request) {
  const std::string map_path = files_.creating_path(info.name);
  const std::string data_path = files_.path_of(data_name(info.name));
  PMSHELF_TRY_ASSIGN(auto map, open_media(options_, map_path, true, false));
  PMSHELF_TRY_ASSIGN(auto data, open_media(options_, data_path, options_.preallocate, false,
                                           data_file_bytes(info.capacity_bytes)));
  PMSHELF_TRY(store::Store::format(*map, data.get(), {}, clock_));
  PMSHELF_TRY_ASSIGN(auto made, store::Store::open(std::move(map), std::move(data), {}, clock_));
  PMSHELF_TRY(made->create_shelf(info, request));
  PMSHELF_TRY(made->sync());
  PMSHELF_TRY(made->close());
  made.reset();
  return files_.commit_create(info.name);
}

Result<std::shared_ptr<Shelf>> DirectoryPool::create_shelf(store::ShelfInfo info,
                                                           const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY(check_writable());
  PMSHELF_TRY_ASSIGN(ShelfPtr shelf, find_applied(request));
  if (shelf != nullptr) return std::shared_ptr<Shelf>(std::move(shelf));
  PMSHELF_TRY(check_new(info));
  PMSHELF_TRY(check_space(info.capacity_bytes));
  PMSHELF_TRY(files_.begin_create(info.name, store::kMetadataBytesMin));
  if (Status made = make_files(info, request); !made.ok()) {
    const Status undone = files_.undo_create(info.name);
    return undone.ok() ? made.error() : made.error().with_context(undone.error().message());
  }
  auto opened = open_shelf(info.name);
  if (!opened.ok()) {
    // As if it had never been; what cannot be removed now is by the next recovery.
    Status erased = files_.begin_erase(info.name);
    if (erased.ok()) erased = files_.finish_erase(info.name);
    return erased.ok() ? opened.error() : opened.error().with_context(erased.error().message());
  }
  add(info.name, *opened);
  return std::shared_ptr<Shelf>(*std::move(opened));
}

// ---- erase

Result<bool> DirectoryPool::erased_before(const store::Request& request) {
  const uint64_t now_ms = clock_.boot_ms();
  while (!erasures_.empty() && (erasures_.size() > kErasuresKept ||
                                now_ms - erasures_.front().boot_ms > store::kRequestKeepMs)) {
    erasures_.pop_front();
  }
  if (!request.id) return false;
  for (const auto& done : erasures_) {
    if (!(done.request.id == request.id)) continue;
    if (done.request.digest == request.digest) return true;
    return Error(Code::kConflict, "this request id was used before with another body");
  }
  return false;
}

Status DirectoryPool::erase_shelf(std::string_view name, const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY(check_writable());
  PMSHELF_TRY_ASSIGN(const bool erased, erased_before(request));
  if (erased) return {};
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, find(name));
  const std::string shelf_name(name);
  Status closed = shelf->gate().close();
  if (!closed.ok()) return closed.error().with_context("shelf '" + shelf_name + "'");
  if (Status begun = files_.begin_erase(name); !begun.ok()) {
    // Renamed but perhaps not durably: whether the shelf survives a crash is unknown.
    if (files_.is_erasing(name)) shelf->host()->fail(begun.error());
    shelf->gate().reopen();
    return begun;
  }
  shelf->remove();
  remove(shelf_name);
  recovered_renames_.erase(shelf_name);
  if (request.id) erasures_.push_back({request, clock_.boot_ms()});
  if (const Status finished = files_.finish_erase(name); !finished.ok()) {
    // It is erased; the next opening removes the rest.
    add_note("the rest of erased shelf '" + shelf_name + "': " + finished.error().message());
  }
  return {};
}

// ---- rename

Status DirectoryPool::rename_shelf(std::string_view name, std::string_view new_name,
                                   const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY(check_writable());
  const std::string old_name(name), final_name(new_name);
  PMSHELF_TRY_ASSIGN(const ShelfPtr applied, find_applied(request));
  if (applied != nullptr) return {};
  const auto shelf_found = find(name);
  const auto recovered = recovered_renames_.find(new_name);
  if (shelf_found.code() == Code::kNotFound && recovered != recovered_renames_.end() &&
      recovered->second == name) {
    return {};  // a crash came between the new name and the request's record
  }
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, shelf_found);
  store::ShelfInfo info;
  info.name = final_name;
  PMSHELF_TRY(check_new(info));
  PMSHELF_TRY(check_changeable(*shelf));
  PMSHELF_TRY(files_.begin_rename(name, new_name));
  // The name of the file is the shelf's name: it has changed, whatever the rest does.
  shelf->moved_to(final_name, files_.path_of(data_name(new_name)));
  add(final_name, shelf);
  remove(old_name);
  recovered_renames_.erase(old_name);
  if (const Status finished = files_.finish_rename(name); !finished.ok()) {
    add_note("the rest of renamed shelf '" + old_name + "': " + finished.error().message());
  }
  return shelf->host()->mutate([&](store::Store& s) -> Status {
    PMSHELF_TRY_ASSIGN(info, s.shelf(shelf->id()));
    info.name = final_name;
    return s.update_shelf(info, request);
  });
}

// ---- resize

Status DirectoryPool::resize_shelf(std::string_view name, uint64_t capacity_bytes,
                                   const store::Request& request) {
  std::lock_guard lock(changes_);
  PMSHELF_TRY(check_writable());
  PMSHELF_TRY_ASSIGN(const ShelfPtr shelf, find(name));
  StoreHost& host = *shelf->host();
  PMSHELF_TRY_ASSIGN(const uint64_t capacity, round_capacity(capacity_bytes));
  PMSHELF_TRY_ASSIGN(const auto done, shelf->replay(request));
  if (done) return {};
  PMSHELF_TRY(check_changeable(*shelf));
  const uint64_t before = shelf->info().capacity_bytes;
  if (capacity > before) PMSHELF_TRY(resize_data(host, capacity));
  Status recorded =
      host.mutate([&](store::Store& s) { return s.resize_shelf(shelf->id(), capacity, request); });
  const uint64_t now = recorded.ok() ? capacity : before;
  if (now < std::max(before, capacity)) {
    // Space beyond the end that fails to go is cut off at the next opening.
    if (const Status cut = resize_data(host, now); !cut.ok() && recorded.ok()) {
      add_note("shelf '" + std::string(name) +
               "' is shrunk, its file is not: " + cut.error().message());
    }
  }
  if (!recorded.ok()) return recorded.error().with_context("shelf '" + std::string(name) + "'");
  return {};
}

}  // namespace pmshelf::pool
