// What can be wrong with certificate and key files, found before they are used.
#pragma once

#include <string>

#include "pmshelf/result.h"

namespace pmshelf::app {

// Each: kNotFound, kPermissionDenied or kIo for the file, kInvalidArgument for what is in it; the
// message begins with the file's name and says the cure.

// A PEM chain whose first certificate is in force at `now_unix_s`.
Status check_certificate(const std::string& file, int64_t now_unix_s);
// A PEM private key that nobody but its owner (and group) can read, and that fits the certificate.
Status check_private_key(const std::string& file, const std::string& certificate_file);
// One or more PEM certificates.
Status check_authority(const std::string& file);
// A file of secrets: a regular file that others can neither read nor write.
Status check_secret_file(const std::string& file);

}  // namespace pmshelf::app
