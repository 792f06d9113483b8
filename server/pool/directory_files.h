// The files of a directory pool: their names, and the only ways in which they appear, change
// names and go (docs/format.md, "Media").
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "pmshelf/result.h"

namespace pmshelf::pool {

std::string map_name(std::string_view shelf);
std::string data_name(std::string_view shelf);

// 1..200 of [A-Za-z0-9._-], not starting with '.'. kInvalidArgument names the rule that is broken.
Status check_shelf_name(std::string_view name);

// A directory and durable changes of the names in it.
//
// Owner: the directory pool, one thread at a time; the caller holds the pool's lock. Durability:
// each method returns when the names are durable (fsync of the directory); the contents of files
// are the business of who writes them. Errors: system_error() of file_lock.h.
class DirectoryFiles {
 public:
  static Result<DirectoryFiles> open(const std::string& path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  bool writable() const;  // false: mounted or permitted for reading only
  // kNotFound; does not follow links.
  Result<struct stat> facts(const std::string& name) const;
  bool exists(const std::string& name) const { return facts(name).code() != Code::kNotFound; }
  Result<std::vector<std::string>> list() const;  // ascending, without . and ..

  // ---- create: begin_create; then make NAME.data, format it and the map at creating_path();
  // then commit_create. begin_create makes the map file, allocated with zeros: from then on
  // NAME.data is known to be ours. kAlreadyExists names the file that is in the way.
  Status begin_create(std::string_view shelf, uint64_t map_bytes);
  std::string creating_path(std::string_view shelf) const;
  Status commit_create(std::string_view shelf);
  Status undo_create(std::string_view shelf);  // also completes an undo; idempotent

  // ---- erase
  Status begin_erase(std::string_view shelf);  // the commit point
  bool is_erasing(std::string_view shelf) const;
  Status finish_erase(std::string_view shelf);  // idempotent

  // ---- rename. An error of begin_rename leaves everything as it was; kAlreadyExists, kUnsupported
  // (no hard links here).
  Status begin_rename(std::string_view shelf, std::string_view new_name);  // the commit point
  Status finish_rename(std::string_view shelf);                            // idempotent

 private:
  DirectoryFiles(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  Status sync() const;
  Status sync_file(const std::string& name) const;
  Status remove(const std::string& name);  // durably; no error when it is not there
  Status check_free(std::string_view shelf) const;

  std::string path_;
  UniqueFd fd_;
};

struct DirectoryScan {
  std::vector<std::string> shelves;  // NAME of each NAME.map, ascending
  std::vector<std::string> notes;    // what was left alone, and why
};

// Completes or undoes what a crash has left half done, when `writable`, and lists the shelves.
// Files that are not ours are not touched.
Result<DirectoryScan> recover_directory(DirectoryFiles& files, bool writable);

}  // namespace pmshelf::pool
