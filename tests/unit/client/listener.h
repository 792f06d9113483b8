// A Unix socket that accepts and says nothing.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace pmshelf::client {

class Listener {
 public:
  explicit Listener(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    struct sockaddr_un address{};
    address.sun_family = AF_UNIX;
    PMSHELF_CHECK(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    PMSHELF_CHECK(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    PMSHELF_CHECK(::listen(fd_.get(), 8) == 0);
  }

 private:
  UniqueFd fd_;
};

}  // namespace pmshelf::client
