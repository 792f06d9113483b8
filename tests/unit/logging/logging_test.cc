// Promises of logging: one line an event, always valid JSON, and never a reason to stop.
#include "common/base/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace pmshelf {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Logging : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("pmshelf-log-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    ASSERT_TRUE(set_up_logging({}).ok());
    std::filesystem::remove_all(folder_);
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  static std::vector<std::string> lines(const std::string& file) {
    std::ifstream in(file);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  std::filesystem::path folder_;
};

TEST_F(Logging, TextHasUtcTimeLevelAndMessageOnOneLine) {
  ASSERT_TRUE(set_up_logging({.file = path("a")}).ok());
  spdlog::warn("pool '{}' is\nfull", "x");
  ASSERT_EQ(lines(path("a")).size(), 1U);
  EXPECT_THAT(lines(path("a"))[0],
              MatchesRegex("20[0-9-]+T[0-9:]+\\.[0-9]{3}Z warn  +pool 'x' is full"));
}

TEST_F(Logging, JsonLineIsValidWhateverTheMessageHolds) {
  ASSERT_TRUE(set_up_logging({.format = "json", .file = path("a")}).ok());
  spdlog::info("quote \" back \\ line \n bell \x07 bad \xff end");
  ASSERT_EQ(lines(path("a")).size(), 1U);
  EXPECT_THAT(lines(path("a"))[0], HasSubstr(R"("level":"info","thread":)"));
  EXPECT_THAT(lines(path("a"))[0],
              EndsWith("\"message\":\"quote \\\" back \\\\ line \\n bell \\u0007 bad "
                       "\xef\xbf\xbd end\"}"));
}

TEST_F(Logging, LevelsBelowTheConfiguredAreLeftOut) {
  ASSERT_TRUE(set_up_logging({.level = "warn", .file = path("a")}).ok());
  spdlog::info("no");
  spdlog::error("yes");
  ASSERT_EQ(lines(path("a")).size(), 1U);
  EXPECT_THAT(lines(path("a"))[0], EndsWith("yes"));
  ASSERT_TRUE(set_up_logging({.level = "off", .file = path("a")}).ok());
  spdlog::critical("no");
  EXPECT_EQ(lines(path("a")).size(), 1U);
}

TEST_F(Logging, SetUpAgainReopensAFileThatWasMovedAway) {
  ASSERT_TRUE(set_up_logging({.file = path("a")}).ok());
  spdlog::info("first");
  std::filesystem::rename(path("a"), path("a.1"));
  spdlog::info("second");
  ASSERT_TRUE(set_up_logging({.file = path("a")}).ok());
  spdlog::info("third");
  EXPECT_EQ(lines(path("a.1")).size(), 2U);
  ASSERT_EQ(lines(path("a")).size(), 1U);
  EXPECT_THAT(lines(path("a"))[0], EndsWith("third"));
}

TEST_F(Logging, BadOptionsAreNamedAndLeaveTheOldLoggerInPlace) {
  ASSERT_TRUE(set_up_logging({.file = path("a")}).ok());
  EXPECT_EQ(set_up_logging({.level = "loud"}).code(), Code::kInvalidArgument);
  EXPECT_THAT(set_up_logging({.level = "loud"}).error().message(), HasSubstr("'loud'"));
  EXPECT_THAT(set_up_logging({.format = "xml"}).error().message(), HasSubstr("'xml'"));
  const Status missing = set_up_logging({.file = path("no/such/folder")});
  EXPECT_EQ(missing.code(), Code::kIo);
  EXPECT_THAT(missing.error().message(), HasSubstr(path("no/such/folder")));
  spdlog::info("still here");
  EXPECT_EQ(lines(path("a")).size(), 1U);
}

TEST_F(Logging, FullDiskLosesLinesSaysSoOnceAndNeverThrows) {
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(set_up_logging({.file = "/dev/full"}).ok());
  for (int index = 0; index < 1000; ++index) spdlog::error("line {}", index);
  const std::string complaint = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(complaint, HasSubstr("1 log lines lost so far: No space left on device"));
  EXPECT_EQ(std::count(complaint.begin(), complaint.end(), '\n'), 1);
}

TEST_F(Logging, ReconfiguringWhileThreadsLogLosesNothing) {
  ASSERT_TRUE(set_up_logging({.file = path("a")}).ok());
  constexpr int kLines = 2000;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([] {
      for (int index = 0; index < kLines; ++index) spdlog::info("line");
    });
  }
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(set_up_logging({.file = path(round % 2 == 0 ? "b" : "a")}).ok());
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lines(path("a")).size() + lines(path("b")).size(), 3U * kLines);
}

TEST(JsonEscape, KeepsValidUtf8AndReplacesEachBadByte) {
  EXPECT_EQ(json_escape("grün €😀"), "grün €😀");
  EXPECT_EQ(json_escape("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");  // overlong
  EXPECT_EQ(json_escape("\xed\xa0\x80").size(), 9U);               // surrogate
  EXPECT_EQ(json_escape("\xf4\x90\x80\x80").size(), 12U);          // beyond U+10FFFF
  EXPECT_EQ(json_escape("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");  // cut short
  EXPECT_EQ(json_escape(std::string_view("a\0b\x7f", 4)), "a\\u0000b\\u007f");
}

}  // namespace
}  // namespace pmshelf
