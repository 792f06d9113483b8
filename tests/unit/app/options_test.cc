// Promises of the command line: what is not understood ends with status 2 and says what it was.
#include "server/app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pmshelf::app {
namespace {

using ::testing::HasSubstr;

Parsed parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "pmshelfd");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

// Status and everything that was written.
std::pair<int, std::string> output(const std::vector<const char*>& arguments) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const Parsed parsed = parse(arguments);
  const std::string text =
      ::testing::internal::GetCapturedStdout() + ::testing::internal::GetCapturedStderr();
  return {parsed.exit_status.value_or(-1), text};
}

TEST(Options, NoneMeansDefaults) {
  const Parsed parsed = parse({});
  EXPECT_FALSE(parsed.exit_status.has_value());
  EXPECT_EQ(parsed.options.config_file, "");
  EXPECT_EQ(parsed.options.idle_exit_ms, 10'000U);
  EXPECT_EQ(parsed.options.ready_fd, -1);
  EXPECT_FALSE(parsed.options.mirror_seed.has_value());
}

TEST(Options, PrivateDaemonsTakeTheirOwn) {
  const Parsed parsed = parse({"--private", "/x", "--idle-exit", "1500ms", "--mirror", "7"});
  ASSERT_FALSE(parsed.exit_status.has_value());
  EXPECT_EQ(parsed.options.private_dir, "/x");
  EXPECT_EQ(parsed.options.idle_exit_ms, 1500U);
  EXPECT_EQ(*parsed.options.mirror_seed, 7U);
}

TEST(Options, HelpAndVersionEndWithZero) {
  EXPECT_EQ(output({"--version"}).first, 0);
  EXPECT_THAT(output({"--version"}).second, HasSubstr("pmshelfd 0."));
  EXPECT_EQ(output({"--help"}).first, 0);
  for (const char* option : {"--config", "--check-config", "--print-config", "--private",
                             "--idle-exit", "--ready-fd", "Exit status"}) {
    EXPECT_THAT(output({"--help"}).second, HasSubstr(option));
  }
}

TEST(Options, WhatIsNotUnderstoodIsNamed) {
  EXPECT_EQ(output({"--confg", "f"}).first, kExitUsage);
  EXPECT_THAT(output({"--confg", "f"}).second, HasSubstr("--confg"));
  EXPECT_THAT(output({"stray"}).second, HasSubstr("stray"));
  EXPECT_EQ(output({"--private", "/x", "--idle-exit", "soon"}).first, kExitUsage);
  EXPECT_THAT(output({"--private", "/x", "--idle-exit", "soon"}).second,
              HasSubstr("'soon' is not a duration"));
  EXPECT_EQ(output({"--idle-exit", "1s"}).first, kExitUsage);  // only with --private
  EXPECT_EQ(output({"--private", "/x", "--config", "f"}).first, kExitUsage);
  EXPECT_EQ(output({"--private", "/x", "--check-config"}).first, kExitUsage);
}

TEST(Options, ReadyDescriptorMustBeOpen) {
  EXPECT_EQ(output({"--private", "/x", "--ready-fd", "1000000"}).first, kExitUsage);
  EXPECT_THAT(output({"--private", "/x", "--ready-fd", "1000000"}).second,
              HasSubstr("descriptor 1000000 is not open"));
  EXPECT_EQ(output({"--private", "/x", "--ready-fd", "1"}).first, kExitUsage);
}

}  // namespace
}  // namespace pmshelf::app
