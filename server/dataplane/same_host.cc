#include "server/dataplane/same_host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace pmshelf::dataplane {

bool may_map(const MapQuestion& question) {
  const transport::PeerInfo& peer = question.peer;
  if (!peer.local) return false;
  if (peer.uid == 0 || peer.uid == question.daemon_uid) return true;
  const bool vouched = question.principal.uid == peer.uid;
  if (vouched && question.principal.name == question.shelf_owner) return true;
  const mode_t needed = question.writable ? S_IRGRP | S_IWGRP : S_IRGRP;
  return peer.gid == question.file_gid && (question.file_mode & needed) == needed;
}

Result<UniqueFd> read_only_twin(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  UniqueFd twin(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!twin) return Error(Code::kIo, path + ": " + std::strerror(errno));
  return twin;
}

}  // namespace pmshelf::dataplane
