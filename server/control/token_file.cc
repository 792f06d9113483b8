#include "server/control/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <set>
#include <utility>

#include "common/base/unique_fd.h"

namespace pmshelf::control {
namespace {

constexpr std::string_view kHeader = "pmshelf-tokens 1";
constexpr size_t kFields = 8;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Error failed(const std::string& path, std::string_view what, int error_number) {
  return Error(Code::kIo, "token file '" + path + "': " + std::string(what) + ": " +
                              std::strerror(error_number));
}

std::string to_hex(const TokenHash& hash) {
  std::string text;
  for (const std::byte value : hash) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(value));
    text += digits;
  }
  return text;
}

bool from_hex(std::string_view text, TokenHash& hash) {
  if (text.size() != hash.size() * 2) return false;
  for (size_t index = 0; index < hash.size(); ++index) {
    unsigned value = 0;
    const char* begin = text.data() + index * 2;
    const auto parsed = std::from_chars(begin, begin + 2, value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != begin + 2) return false;
    hash[index] = static_cast<std::byte>(value);
  }
  return true;
}

template <class T>
bool from_decimal(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

bool parse_record(std::string_view line, TokenRecord& record) {
  std::array<std::string_view, kFields> field;
  for (size_t index = 0; index < kFields; ++index) {
    const bool last = index + 1 == kFields;
    const size_t space = line.find(' ');
    if (last != (space == std::string_view::npos)) return false;
    field[index] = line.substr(0, space);
    if (!last) line.remove_prefix(space + 1);
  }
  record.name = field[0];
  record.principal = field[2];
  record.shelves = field[3];
  record.created_by = field[7];
  return is_token_name(record.name) && from_hex(field[1], record.hash) &&
         is_principal_text(record.principal) && is_shelf_glob(record.shelves) &&
         from_decimal(field[4], record.rights) && record.rights <= 7 &&
         from_decimal(field[5], record.expires_unix_ms) &&
         from_decimal(field[6], record.created_unix_ms) && is_principal_text(record.created_by);
}

Status check_file(int fd, const std::string& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return failed(path, "stat", errno);
  if (!S_ISREG(info.st_mode)) {
    return Error(Code::kInvalidArgument, "token file '" + path + "' is not a regular file");
  }
  if ((info.st_mode & 077) != 0) {
    return Error(Code::kPermissionDenied,
                 "token file '" + path + "' can be reached by other users: chmod 600 " + path);
  }
  if (info.st_uid != ::geteuid()) {
    return Error(Code::kPermissionDenied, "token file '" + path + "' belongs to uid " +
                                              std::to_string(info.st_uid) +
                                              ", not to the daemon's: chown it");
  }
  if (static_cast<uint64_t>(info.st_size) > kTokenFileBytesMax) {
    return Error(Code::kInvalidArgument, "token file '" + path + "' is larger than 4 MiB");
  }
  return {};
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(path, "write", errno);
    text.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Status write_new(const std::string& path, std::string_view text) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path, "unlink", errno);
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return failed(path, "create", errno);
  PMSHELF_TRY(write_all(fd.get(), text, path));
  if (::fsync(fd.get()) != 0) return failed(path, "fsync", errno);
  return {};
}

Status sync_folder(const std::string& path) {
  const size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  if (folder.empty()) folder = "/";
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return failed(path, "fsync of its directory", errno);
  return {};
}

}  // namespace

bool is_token_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, is_word);
}

bool is_principal_text(std::string_view text) {
  return !text.empty() && text.size() <= 256 &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

bool is_shelf_glob(std::string_view text) {
  return !text.empty() && text.size() <= 200 &&
         std::ranges::all_of(text, [](char c) { return is_word(c) || c == '*' || c == '?'; });
}

std::string format_tokens(const std::vector<TokenRecord>& records) {
  std::string text(kHeader);
  text += '\n';
  for (const TokenRecord& record : records) {
    text += record.name + ' ' + to_hex(record.hash) + ' ' + record.principal + ' ' +
            record.shelves + ' ' + std::to_string(record.rights) + ' ' +
            std::to_string(record.expires_unix_ms) + ' ' + std::to_string(record.created_unix_ms) +
            ' ' + record.created_by + '\n';
  }
  return text;
}

Result<std::vector<TokenRecord>> parse_tokens(std::string_view text) {
  const std::string_view whole = text;
  std::vector<TokenRecord> records;
  std::set<std::string> names;
  for (size_t number = 1; !text.empty() || number == 1; ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    TokenRecord record;
    const bool good =
        end != std::string_view::npos &&
        (number == 1 ? line == kHeader
                     : parse_record(line, record) && names.insert(record.name).second);
    if (!good) return Error(Code::kCorrupt, "line " + std::to_string(number) + " is not valid");
    if (number > 1) records.push_back(std::move(record));
    text.remove_prefix(end + 1);
  }
  if (format_tokens(records) != whole) {
    return Error(Code::kCorrupt, "a number is not written as the daemon writes it");
  }
  return records;
}

Result<std::vector<TokenRecord>> read_token_file(const std::string& path) {
  // O_NONBLOCK: a FIFO in its place must not stop the daemon.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) return std::vector<TokenRecord>{};
  if (!fd) return failed(path, "open", errno);
  PMSHELF_TRY(check_file(fd.get(), path));
  std::string text;
  std::array<char, 65536> buffer{};
  while (text.size() <= kTokenFileBytesMax) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(path, "read", errno);
    if (count == 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  auto records = parse_tokens(text);
  if (!records.ok()) return records.error().with_context("token file '" + path + "'");
  return records;
}

Status write_token_file(const std::string& path, const std::vector<TokenRecord>& records) {
  const std::string fresh = path + ".new";
  PMSHELF_TRY(write_new(fresh, format_tokens(records)));
  if (::rename(fresh.c_str(), path.c_str()) != 0) return failed(path, "rename", errno);
  return sync_folder(path);
}

}  // namespace pmshelf::control
