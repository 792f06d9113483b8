// Helpers of the media tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/media/media.h"

namespace pmshelf::media {

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

// The bytes of [offset, offset + length), or a failed test.
inline std::string read_text(const Media& media, uint64_t offset, uint64_t length) {
  std::string text(length, '?');
  const Status status = media.read(offset, std::as_writable_bytes(std::span(text)));
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  return text;
}

// Fails the test with the error's words.
#define EXPECT_OK(expression)                                 \
  do {                                                        \
    const auto& status_ = (expression);                       \
    EXPECT_TRUE(status_.ok()) << status_.error().to_string(); \
  } while (false)
#define ASSERT_OK(expression)                                 \
  do {                                                        \
    const auto& status_ = (expression);                       \
    ASSERT_TRUE(status_.ok()) << status_.error().to_string(); \
  } while (false)

// A new directory below `parent`, removed with its contents at the end.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent) {
    std::string name = parent + "/pmshelf-media-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
    EXPECT_FALSE(path_.empty()) << "cannot make a directory below " << parent;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace pmshelf::media
