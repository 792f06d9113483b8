// The address of a Unix socket. Private to the stream transports.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::transport {

class UnixAddress {
 public:
  // kInvalidArgument: empty, contains NUL, or over the kernel's limit (107 bytes).
  static Result<UnixAddress> of(const std::string& path) {
    UnixAddress result;
    const bool has_nul = path.find('\0') != std::string::npos;
    if (path.empty() || has_nul || path.size() >= sizeof result.address_.sun_path) {
      return Error(Code::kInvalidArgument, "socket path '" + path + "' has " +
                                               std::to_string(path.size()) +
                                               " bytes; 1 to 107 are possible");
    }
    result.address_.sun_family = AF_UNIX;
    std::memcpy(result.address_.sun_path, path.data(), path.size());
    return result;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t bytes() const { return sizeof address_; }

 private:
  sockaddr_un address_ = {};
};

}  // namespace pmshelf::transport
