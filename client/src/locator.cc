#include "client/src/locator.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "client/src/private_daemon.h"
#include "common/base/unique_fd.h"

namespace pmshelf::client {
namespace {

constexpr std::string_view kSystemFolder = "/run/pmshelf";

std::string user_folder_in_tmp(const Environment& environment) {
  return "/tmp/pmshelf-" + std::to_string(environment.uid);
}

Site site_of_socket(const std::string& data_socket) {
  const std::string folder = data_socket.substr(0, data_socket.rfind('/'));
  Site site;
  site.control_address = "unix:" + folder + "/control.sock";
  site.data_socket = data_socket;
  site.host = "127.0.0.1";
  site.text = data_socket;
  return site;
}

Site site_of_host(const Target& target) {
  Site site;
  site.control_address = format_host_port(target.host, target.port);
  site.host = target.host;
  site.needs_tls = !is_loopback_host(target.host);
  site.text = site.control_address;
  return site;
}

}  // namespace

std::vector<std::string> runtime_folders(const Environment& environment) {
  std::vector<std::string> folders;
  if (!environment.runtime_dir.empty()) folders.push_back(environment.runtime_dir + "/pmshelf");
  folders.push_back(user_folder_in_tmp(environment));
  folders.emplace_back(kSystemFolder);
  return folders;
}

std::string distrust_folder(const std::string& folder, const Environment& environment) {
  if (folder != user_folder_in_tmp(environment)) return {};
  struct stat info{};
  if (::lstat(folder.c_str(), &info) != 0) return std::strerror(errno);
  if (!S_ISDIR(info.st_mode)) return "not a directory";
  if (info.st_uid != environment.uid) return "belongs to somebody else";
  if ((info.st_mode & 0777) != 0700) return "its mode is not 0700";
  return {};
}

bool socket_accepts(const std::string& path) {
  struct sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() > kSocketPathBytesMax) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return false;
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  return errno == EAGAIN;  // somebody listens, with a full backlog
}

Result<std::string> find_local_socket(const Environment& environment) {
  std::string tried;
  for (const std::string& folder : runtime_folders(environment)) {
    std::string socket = folder + "/data.sock";
    const std::string distrust = distrust_folder(folder, environment);
    if (distrust.empty() && socket_accepts(socket)) return socket;
    if (!tried.empty()) tried += ", ";
    tried += socket;
  }
  return Error(Code::kUnavailable, "no daemon on this host (tried " + tried +
                                       "): start pmshelfd, or name a target (option target, "
                                       "$PMSHELF_TARGET)");
}

Result<Site> locate(const Target& target, const std::string& daemon_path,
                    const Environment& environment, Time deadline) {
  switch (target.kind) {
    case Target::Kind::kHost:
      return site_of_host(target);
    case Target::Kind::kSocket:
      return site_of_socket(target.path + "/data.sock");
    case Target::Kind::kDirectory: {
      PMSHELF_TRY_ASSIGN(std::string socket,
                         find_or_start_daemon(target.path, daemon_path, environment, deadline));
      return site_of_socket(socket);
    }
    case Target::Kind::kLocal:
      break;
  }
  PMSHELF_TRY_ASSIGN(std::string socket, find_local_socket(environment));
  return site_of_socket(socket);
}

}  // namespace pmshelf::client
