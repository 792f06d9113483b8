#include "server/app/folders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pmshelf::app {
namespace {

constexpr uint32_t kParentMode = 0755;

Error path_error(const std::string& path, int error) {
  Code code = Code::kIo;
  if (error == EACCES || error == EPERM || error == EROFS) code = Code::kPermissionDenied;
  if (error == ENOSPC || error == EDQUOT) code = Code::kNoSpace;
  if (error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG) code = Code::kInvalidArgument;
  return Error(code, "folder '" + path + "': " + std::strerror(error));
}

Status make_one(const std::string& path, uint32_t mode) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return Error(Code::kInvalidArgument, "'" + path + "' is in the way: it is not a directory");
  }
  if (::mkdir(path.c_str(), mode) != 0) {
    if (errno == EEXIST) return path_error(path, ::stat(path.c_str(), &status) == 0 ? 0 : ENOTDIR);
    return path_error(path, errno);
  }
  if (::chmod(path.c_str(), mode) != 0) return path_error(path, errno);  // whatever the umask
  return {};
}

Status check_own(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return path_error(path, errno);
  const bool own = S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
  if (own && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0) return {};
  return Error(Code::kPermissionDenied,
               "'" + path + "' must be a directory of uid " + std::to_string(::geteuid()) +
                   " with mode 0700: somebody else may have made it; remove it or set "
                   "XDG_RUNTIME_DIR");
}

}  // namespace

Status make_folder(const std::string& path, uint32_t mode) {
  if (!path.starts_with('/')) {
    return Error(Code::kInvalidArgument, "folder '" + path + "' must be an absolute path");
  }
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    PMSHELF_TRY(make_one(path.substr(0, slash), kParentMode));
  }
  return make_one(path, mode);
}

Status make_runtime_folder(const std::string& path, uint32_t mode) {
  constexpr std::string_view kOurName = "/tmp/pmshelf-";  // default_runtime_dir
  if (!path.starts_with(kOurName)) return make_folder(path, mode);
  const std::string top = path.substr(0, path.find('/', kOurName.size()));
  PMSHELF_TRY(make_one(top, 0700));
  PMSHELF_TRY(check_own(top));
  return make_folder(path, mode);
}

}  // namespace pmshelf::app
