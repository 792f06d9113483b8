#include "server/pool/directory_files.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "server/pool/file_lock.h"
#include "server/store/types.h"

namespace pmshelf::pool {

namespace {

constexpr std::string_view kMap = ".map";
constexpr std::string_view kData = ".data";
constexpr std::string_view kCreating = ".map.creating";
constexpr std::string_view kErasing = ".map.erasing";

std::string with_suffix(std::string_view shelf, std::string_view suffix) {
  return std::string(shelf) + std::string(suffix);
}

bool name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

std::string map_name(std::string_view shelf) { return with_suffix(shelf, kMap); }
std::string data_name(std::string_view shelf) { return with_suffix(shelf, kData); }

Status check_shelf_name(std::string_view name) {
  constexpr char kRule[] = "shelf name: 1..200 of [A-Za-z0-9._-], not starting with '.'";
  if (name.empty() || name.size() > store::kShelfNameBytesMax || name.front() == '.' ||
      !std::all_of(name.begin(), name.end(), name_character)) {
    return Error(Code::kInvalidArgument, kRule);
  }
  return {};
}

Result<DirectoryFiles> DirectoryFiles::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return system_error(errno, "cannot open directory " + path);
  return DirectoryFiles(path, std::move(fd));
}

bool DirectoryFiles::writable() const {
  return ::faccessat(fd_.get(), ".", W_OK | X_OK, AT_EACCESS) == 0;
}

Result<struct stat> DirectoryFiles::facts(const std::string& name) const {
  struct stat facts{};
  if (::fstatat(fd_.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
    return system_error(errno, path_of(name));
  }
  return facts;
}

Result<std::vector<std::string>> DirectoryFiles::list() const {
  // A stream of its own: it closes its descriptor, and has its own position.
  const int again = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = again < 0 ? nullptr : ::fdopendir(again);
  if (stream == nullptr) {
    const Error error = system_error(errno, "cannot list " + path_);
    if (again >= 0) ::close(again);
    return error;
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, &::closedir);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr) break;
    names.emplace_back(entry->d_name);
  }
  if (errno != 0) return system_error(errno, "cannot list " + path_);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  std::sort(names.begin(), names.end());
  return names;
}

Status DirectoryFiles::sync() const {
  if (::fsync(fd_.get()) != 0) return system_error(errno, "cannot sync directory " + path_);
  return {};
}

Status DirectoryFiles::remove(const std::string& name) {
  if (::unlinkat(fd_.get(), name.c_str(), 0) != 0) {
    if (errno == ENOENT) return {};
    return system_error(errno, "cannot remove " + path_of(name));
  }
  return sync();
}

Status DirectoryFiles::check_free(std::string_view shelf) const {
  for (const std::string_view suffix : {kMap, kData, kCreating, kErasing}) {
    const std::string name = with_suffix(shelf, suffix);
    if (exists(name)) {
      return Error(Code::kAlreadyExists, "file " + path_of(name) + " is in the way");
    }
  }
  return {};
}

// ---- create

std::string DirectoryFiles::creating_path(std::string_view shelf) const {
  return path_of(with_suffix(shelf, kCreating));
}

Status DirectoryFiles::begin_create(std::string_view shelf, uint64_t map_bytes) {
  PMSHELF_TRY(check_free(shelf));
  const std::string marker = with_suffix(shelf, kCreating);
  const UniqueFd fd(
      ::openat(fd_.get(), marker.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return system_error(errno, "cannot create " + path_of(marker));
  if (const int failed = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(map_bytes))) {
    const Error error = system_error(failed, "cannot allocate " + path_of(marker));
    const Status removed = remove(marker);
    return removed.ok() ? error : error.with_context(removed.error().message());
  }
  return sync();
}

Status DirectoryFiles::sync_file(const std::string& name) const {
  const UniqueFd fd(::openat(fd_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::fsync(fd.get()) != 0) return system_error(errno, "cannot sync " + path_of(name));
  return {};
}

Status DirectoryFiles::commit_create(std::string_view shelf) {
  const std::string from = with_suffix(shelf, kCreating), to = map_name(shelf);
  // Both files, their lengths and their names are durable before NAME.map is there.
  PMSHELF_TRY(sync_file(data_name(shelf)));
  PMSHELF_TRY(sync_file(from));
  PMSHELF_TRY(sync());
  if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) != 0) {
    return system_error(errno, "cannot rename " + path_of(from));
  }
  return sync();
}

Status DirectoryFiles::undo_create(std::string_view shelf) {
  // Never the data of a finished shelf.
  if (!exists(map_name(shelf))) PMSHELF_TRY(remove(data_name(shelf)));
  return remove(with_suffix(shelf, kCreating));
}

// ---- erase

Status DirectoryFiles::begin_erase(std::string_view shelf) {
  const std::string from = map_name(shelf), to = with_suffix(shelf, kErasing);
  if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) != 0) {
    return system_error(errno, "cannot rename " + path_of(from));
  }
  return sync();
}

bool DirectoryFiles::is_erasing(std::string_view shelf) const {
  return exists(with_suffix(shelf, kErasing));
}

Status DirectoryFiles::finish_erase(std::string_view shelf) {
  if (!exists(map_name(shelf))) PMSHELF_TRY(remove(data_name(shelf)));
  return remove(with_suffix(shelf, kErasing));
}

// ---- rename

Status DirectoryFiles::begin_rename(std::string_view shelf, std::string_view new_name) {
  PMSHELF_TRY(check_free(new_name));
  const std::string data = data_name(shelf), new_data = data_name(new_name);
  if (::linkat(fd_.get(), data.c_str(), fd_.get(), new_data.c_str(), 0) != 0) {
    if (errno == EPERM || errno == EOPNOTSUPP) {
      return Error(Code::kUnsupported, "the file system of " + path_ + " has no hard links");
    }
    return system_error(errno, "cannot link " + path_of(new_data));
  }
  const std::string map = map_name(shelf), new_map = map_name(new_name);
  Status done = sync();
  if (done.ok() && ::renameat(fd_.get(), map.c_str(), fd_.get(), new_map.c_str()) != 0) {
    done = system_error(errno, "cannot rename " + path_of(map));
  }
  if (done.ok()) {
    done = sync();
    if (done.ok()) return done;
    // Which name survives a crash is unknown; the bytes are linked to both.
    (void)::renameat(fd_.get(), new_map.c_str(), fd_.get(), map.c_str());
    return done;
  }
  // What cannot be undone now is undone by the next recovery.
  const Status undone = remove(new_data);
  return undone.ok() ? done : done.error().with_context(undone.error().message());
}

Status DirectoryFiles::finish_rename(std::string_view shelf) { return remove(data_name(shelf)); }

// ---- recovery

namespace {

struct Inode {
  uint64_t device, number;
  bool operator==(const Inode&) const = default;
};

// The shelf's name when `file` is NAME + suffix.
bool strip(std::string_view file, std::string_view suffix, std::string& shelf) {
  if (!file.ends_with(suffix)) return false;
  shelf = file.substr(0, file.size() - suffix.size());
  return check_shelf_name(shelf).ok();
}

bool regular(const DirectoryFiles& files, const std::string& name) {
  const auto facts = files.facts(name);
  return facts.ok() && S_ISREG(facts->st_mode);
}

Status finish_markers(DirectoryFiles& files, const std::vector<std::string>& names) {
  std::string shelf;
  for (const auto& name : names) {
    if (strip(name, kCreating, shelf) && regular(files, name)) {
      PMSHELF_TRY(files.undo_create(shelf));
    } else if (strip(name, kErasing, shelf) && regular(files, name)) {
      PMSHELF_TRY(files.finish_erase(shelf));
    }
  }
  return {};
}

// Each NAME.data without NAME.map: the rest of a rename, or nobody's.
Status finish_renames(DirectoryFiles& files, bool writable, const std::vector<std::string>& names,
                      const std::vector<std::string>& shelves, std::vector<std::string>& notes) {
  std::vector<Inode> live;
  for (const auto& shelf : shelves) {
    const auto facts = files.facts(data_name(shelf));
    if (facts.ok()) live.push_back({facts->st_dev, facts->st_ino});
  }
  std::string shelf;
  for (const auto& name : names) {
    if (!strip(name, kData, shelf) || std::binary_search(shelves.begin(), shelves.end(), shelf)) {
      continue;
    }
    const auto facts = files.facts(name);
    if (!facts.ok()) continue;
    const Inode inode{facts->st_dev, facts->st_ino};
    if (std::find(live.begin(), live.end(), inode) == live.end()) {
      notes.push_back("file '" + name + "' has no '" + map_name(shelf) + "': left alone");
    } else if (writable) {
      PMSHELF_TRY(files.finish_rename(shelf));
    }
  }
  return {};
}

}  // namespace

Result<DirectoryScan> recover_directory(DirectoryFiles& files, bool writable) {
  PMSHELF_TRY_ASSIGN(auto names, files.list());
  if (writable) {
    PMSHELF_TRY(finish_markers(files, names));
    PMSHELF_TRY_ASSIGN(names, files.list());
  }
  DirectoryScan scan;
  std::string shelf;
  for (const auto& name : names) {
    if (!name.ends_with(kMap)) continue;
    if (strip(name, kMap, shelf)) {
      scan.shelves.push_back(shelf);
    } else {
      scan.notes.push_back("file '" + name + "' is not named as a shelf can be: left alone");
    }
  }
  std::sort(scan.shelves.begin(), scan.shelves.end());
  PMSHELF_TRY(finish_renames(files, writable, names, scan.shelves, scan.notes));
  return scan;
}

}  // namespace pmshelf::pool
