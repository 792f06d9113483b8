// A directory of its own for each test, gone afterwards, on tmpfs or on a page-cache file system.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace pmshelf::pool {

class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& below = "/dev/shm") {
    std::string pattern = below + "/pmshelf-pool-test-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr) << below;
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool exists(const std::string& name) const {
    return std::filesystem::symlink_status(path_ + "/" + name).type() !=
           std::filesystem::file_type::not_found;
  }
  // Names in it but for the lock file, ascending.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      const std::string name = entry.path().filename();
      if (name != "pmshelfd.lock") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::string path_;
};

}  // namespace pmshelf::pool
