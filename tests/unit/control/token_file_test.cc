#include "server/control/token_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "test_server.h"

namespace pmshelf::control {
namespace {

TokenRecord record(const std::string& name) {
  TokenRecord made{name, {}, "token:" + name, "train*", 3, 123, 456, "unix:root"};
  made.hash[0] = std::byte{0xab};
  made.hash[31] = std::byte{0x01};
  return made;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(TokenFile, WhatWasWrittenIsReadAndReadableByTheOwnerOnly) {
  TempDir dir;
  const std::string path = dir.file("tokens");
  EXPECT_TRUE(read_token_file(path)->empty());
  const std::vector<TokenRecord> records = {record("a"), record("b")};
  ::umask(0);
  ASSERT_TRUE(write_token_file(path, records).ok());
  ::umask(022);
  EXPECT_EQ(*read_token_file(path), records);
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_TRUE(write_token_file(path, {}).ok());
  EXPECT_TRUE(read_token_file(path)->empty());
  EXPECT_NE(::access((path + ".new").c_str(), F_OK), 0);
}

TEST(TokenFile, LeftoverOfAnInterruptedWriteIsReplaced) {
  TempDir dir;
  const std::string path = dir.file("tokens");
  std::ofstream(path + ".new") << "rubbish";
  ::chmod((path + ".new").c_str(), 0666);
  ASSERT_TRUE(write_token_file(path, {record("a")}).ok());
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST(TokenFile, FailedWriteLeavesTheOldOne) {
  TempDir dir;
  const std::string path = dir.file("tokens");
  ASSERT_TRUE(write_token_file(path, {record("a")}).ok());
  ASSERT_EQ(::mkdir((path + ".new").c_str(), 0700), 0);  // cannot be unlinked
  const Status failed = write_token_file(path, {record("b")});
  EXPECT_EQ(failed.code(), Code::kIo);
  EXPECT_EQ(read_token_file(path)->at(0).name, "a");
}

TEST(TokenFile, OneThatOthersCanReachIsRefusedNamingThePath) {
  TempDir dir;
  const std::string path = dir.file("tokens");
  ASSERT_TRUE(write_token_file(path, {record("a")}).ok());
  for (const mode_t mode : {0644, 0640, 0620, 0601}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    const auto refused = read_token_file(path);
    ASSERT_EQ(refused.code(), Code::kPermissionDenied) << mode;
    EXPECT_NE(refused.error().message().find(path), std::string::npos);
    EXPECT_NE(refused.error().message().find("chmod 600"), std::string::npos);
  }
}

TEST(TokenFile, AnythingButAPlainFileIsRefused) {
  TempDir dir;
  ASSERT_EQ(::mkfifo(dir.file("fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_token_file(dir.file("fifo")).code(), Code::kInvalidArgument);
  EXPECT_FALSE(read_token_file(dir.path()).ok());
  ASSERT_EQ(::symlink("/dev/null", dir.file("link").c_str()), 0);
  EXPECT_EQ(read_token_file(dir.file("link")).code(), Code::kIo);
  std::ofstream(dir.file("big")) << std::string(kTokenFileBytesMax + 1, 'x');
  ASSERT_EQ(::chmod(dir.file("big").c_str(), 0600), 0);
  EXPECT_EQ(read_token_file(dir.file("big")).code(), Code::kInvalidArgument);
}

TEST(TokenFile, EveryDamagedByteIsSeenOrHarmless) {
  const std::string good = format_tokens({record("a"), record("b")});
  ASSERT_EQ(parse_tokens(good)->size(), 2u);
  for (size_t at = 0; at <= good.size(); ++at) {
    const auto cut = parse_tokens(good.substr(0, at));
    if (cut.ok()) EXPECT_LT(cut->size(), at == good.size() ? 3u : 2u) << at;
    if (at == good.size()) break;
    for (const char wrong : {'\0', ' ', '\n', '\xff', '*'}) {
      std::string damaged = good;
      damaged[at] = wrong;
      const auto parsed = parse_tokens(damaged);
      // What passes is a record that could have been written.
      if (parsed.ok()) EXPECT_EQ(format_tokens(*parsed), damaged) << at;
    }
  }
}

TEST(TokenFile, BadLinesAreNamed) {
  const std::string good = format_tokens({record("a"), record("b")});
  const auto twice = parse_tokens(good + good.substr(good.find('\n') + 1));
  ASSERT_EQ(twice.code(), Code::kCorrupt);
  EXPECT_NE(twice.error().message().find("line 4"), std::string::npos);
  EXPECT_EQ(parse_tokens("").code(), Code::kCorrupt);
  EXPECT_EQ(parse_tokens("pmshelf-tokens 2\n").code(), Code::kCorrupt);
  TempDir dir;
  std::ofstream(dir.file("tokens")) << good << "rubbish\n";
  ASSERT_EQ(::chmod(dir.file("tokens").c_str(), 0600), 0);
  const auto named = read_token_file(dir.file("tokens"));
  ASSERT_EQ(named.code(), Code::kCorrupt);
  EXPECT_NE(named.error().message().find(dir.file("tokens")), std::string::npos);
  EXPECT_NE(named.error().message().find("line 4"), std::string::npos);
  EXPECT_EQ(text_of(dir.file("tokens")), good + "rubbish\n");
}

}  // namespace
}  // namespace pmshelf::control
