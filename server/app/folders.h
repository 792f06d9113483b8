// The folders that the daemon makes for itself.
#pragma once

#include <string>

#include "common/base/unique_fd.h"
#include "pmshelf/result.h"

namespace pmshelf::app {

// Makes `path` and what is missing above it; a missing last part gets `mode`. An existing directory
// is taken as it is. kInvalidArgument: something else is in the way; kPermissionDenied, kNoSpace,
// kIo: the system's words. Every message names the path.
Status make_folder(const std::string& path, uint32_t mode);

// make_folder for a folder that holds sockets. Below /tmp/pmshelf-UID (anybody can make names in
// /tmp) that folder must be a real directory of the daemon's own user with no rights for others:
// kPermissionDenied names it.
Status make_runtime_folder(const std::string& path, uint32_t mode);

}  // namespace pmshelf::app
