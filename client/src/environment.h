// What libpmshelf takes from the process's environment, read once per Client::connect.
#pragma once

#include <sys/types.h>

#include <string>

namespace pmshelf::client {

struct Environment {
  std::string target;       // $PMSHELF_TARGET
  std::string token;        // $PMSHELF_TOKEN
  std::string home;         // $HOME, else the password file's
  std::string runtime_dir;  // $XDG_RUNTIME_DIR
  std::string path;         // $PATH
  uid_t uid = 0;
};

Environment read_environment();

}  // namespace pmshelf::client
