#include "client/src/environment.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace pmshelf::client {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string home_of(uid_t uid) {
  std::array<char, 4096> buffer{};
  struct passwd entry{};
  struct passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return {};
  }
  return found->pw_dir;
}

}  // namespace

Environment read_environment() {
  Environment environment;
  environment.target = variable("PMSHELF_TARGET");
  environment.token = variable("PMSHELF_TOKEN");
  environment.home = variable("HOME");
  environment.runtime_dir = variable("XDG_RUNTIME_DIR");
  environment.path = variable("PATH");
  environment.uid = geteuid();
  if (environment.home.empty()) environment.home = home_of(environment.uid);
  return environment;
}

}  // namespace pmshelf::client
