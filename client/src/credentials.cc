#include "client/src/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/unique_fd.h"

namespace pmshelf::client {
namespace {

enum class Secrecy { kSecret, kPublic };

Error bad_file(const std::string& what, const std::string& path, const std::string& why) {
  return Error(Code::kInvalidArgument, what + " '" + path + "': " + why);
}

Result<std::string> read_text(int fd, const std::string& what, const std::string& path,
                              size_t bytes_max) {
  std::string text(bytes_max + 1, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count = ::read(fd, text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return bad_file(what, path, std::strerror(errno));
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  if (filled > bytes_max) {
    return bad_file(what, path, "longer than " + std::to_string(bytes_max) + " bytes");
  }
  text.resize(filled);
  return text;
}

// Opened before it is looked at: what is checked is what is read. O_NONBLOCK keeps a FIFO from
// hanging us.
Result<std::string> read_file(const std::string& what, const std::string& path, size_t bytes_max,
                              Secrecy secrecy) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return bad_file(what, path, std::strerror(errno));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return bad_file(what, path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return bad_file(what, path, "not a regular file");
  if (secrecy == Secrecy::kSecret && (info.st_mode & S_IRWXO) != 0) {
    return bad_file(what, path, "everybody on this host can reach it: run chmod o= on it");
  }
  return read_text(fd.get(), what, path, bytes_max);
}

// A token travels in a header: visible ASCII only.
Result<std::string> checked_token(std::string token, const std::string& source) {
  const bool visible = std::all_of(token.begin(), token.end(),
                                   [](char letter) { return letter > ' ' && letter < '\x7f'; });
  if (token.empty() || token.size() > kTokenBytesMax || !visible) {
    return Error(Code::kInvalidArgument,
                 source + ": a token has 1 to 4096 visible ASCII characters");
  }
  return token;
}

Result<std::string> token_from_file(const std::string& path) {
  PMSHELF_TRY_ASSIGN(std::string text,
                     read_file("token file", path, kTokenBytesMax, Secrecy::kSecret));
  const auto is_space = [](char letter) { return letter == ' ' || (letter >= 9 && letter <= 13); };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  return checked_token(std::move(text), "token file '" + path + "'");
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

Result<std::string> find_token(const ConnectOptions& options, const Environment& environment,
                               Target::Kind kind) {
  if (!options.token.empty()) return checked_token(options.token, "option token");
  if (!options.token_file.empty()) return token_from_file(options.token_file);
  if (kind == Target::Kind::kDirectory) return std::string();
  if (!environment.token.empty()) return checked_token(environment.token, "$PMSHELF_TOKEN");
  if (kind != Target::Kind::kHost || environment.home.empty()) return std::string();
  const std::string usual = environment.home + "/.config/pmshelf/token";
  if (!exists(usual)) return std::string();
  return token_from_file(usual);
}

Result<TlsFiles> read_tls_files(const ConnectOptions& options) {
  TlsFiles files;
  if (options.cert_file.empty() != options.key_file.empty()) {
    return Error(Code::kInvalidArgument, "options cert_file and key_file need each other");
  }
  if (!options.ca_file.empty()) {
    PMSHELF_TRY_ASSIGN(files.ca,
                       read_file("ca_file", options.ca_file, kPemBytesMax, Secrecy::kPublic));
  }
  if (!options.cert_file.empty()) {
    PMSHELF_TRY_ASSIGN(files.cert,
                       read_file("cert_file", options.cert_file, kPemBytesMax, Secrecy::kPublic));
    PMSHELF_TRY_ASSIGN(files.key,
                       read_file("key_file", options.key_file, kPemBytesMax, Secrecy::kSecret));
  }
  return files;
}

}  // namespace pmshelf::client
