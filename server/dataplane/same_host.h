// Who may map a shelf's data file (docs/security.md, "Same host").
#pragma once

#include <sys/types.h>

#include <string_view>

#include "common/transport/stream_server.h"
#include "server/session/registry.h"

namespace pmshelf::dataplane {

// What decides about one peer and one shelf.
struct MapQuestion {
  transport::PeerInfo peer;  // of the data connection, by SO_PEERCRED
  session::Principal principal;
  std::string_view shelf_owner;
  uint32_t daemon_uid = 0;
  mode_t file_mode = 0;  // of the data file
  gid_t file_gid = 0;
  bool writable = false;
};

// True for peers whose hand-over gives away nothing that they could not have anyway: root, the
// daemon's own uid, the shelf's owner (when the kernel vouches for the same uid on this very
// connection), and peers whose primary group the file's group bits already let in.
bool may_map(const MapQuestion& question);

}  // namespace pmshelf::dataplane
