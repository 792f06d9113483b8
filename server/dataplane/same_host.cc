#include "server/dataplane/same_host.h"

#include <sys/stat.h>

#include "server/dataplane/mutant.h"

namespace pmshelf::dataplane {

bool may_map(const MapQuestion& question) {
  const transport::PeerInfo& peer = question.peer;
  if (!peer.local) return false;
  if (mutant(Mutant::kMapForEverybody)) return true;
  if (peer.uid == 0 || peer.uid == question.daemon_uid) return true;
  const bool vouched = question.principal.uid == peer.uid;
  if (vouched && question.principal.name == question.shelf_owner) return true;
  const mode_t needed = question.writable ? S_IRGRP | S_IWGRP : S_IRGRP;
  return peer.gid == question.file_gid && (question.file_mode & needed) == needed;
}

}  // namespace pmshelf::dataplane
