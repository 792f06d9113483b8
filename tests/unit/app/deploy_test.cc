// Promises of the files in deploy/: the sample shows every key with its default.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>

#include "server/app/config.h"

namespace pmshelf::app {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string sample() {
  std::ifstream in(PMSHELF_SOURCE_DIR "/deploy/pmshelfd.toml");
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// "#key = value" -> "key = value"; "# words" stay comments.
std::string uncommented(const std::string& text) {
  std::stringstream in(text);
  std::string out;
  for (std::string line; std::getline(in, line); out += line + "\n") {
    const bool setting = line.size() > 1 && line[0] == '#' &&
                         (std::islower(static_cast<unsigned char>(line[1])) || line[1] == '[');
    if (setting) line.erase(0, 1);
  }
  return out;
}

Config with_service_defaults(Config config) {
  fill_defaults(config, Environment{.uid = 998,
                                    .user = "pmshelf",
                                    .unit_runtime_dir = "/run/pmshelf",
                                    .unit_state_dir = "/var/lib/pmshelf"});
  return config;
}

TEST(SampleConfiguration, AsItIsChangesNothing) {
  const Result<Config> config = parse_config(sample(), "pmshelfd.toml");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_THAT(changed_keys(with_service_defaults({}), with_service_defaults(*config)), IsEmpty());
}

TEST(SampleConfiguration, ShowsEveryKeyWithItsDefault) {
  const std::string text = uncommented(sample());
  const Result<Config> config = parse_config(text, "pmshelfd.toml");
  ASSERT_TRUE(config.ok()) << config.error().message();
  const Config defaults = with_service_defaults({});
  EXPECT_THAT(changed_keys(defaults, with_service_defaults(*config)), IsEmpty());
  std::stringstream printed(print_config(defaults));
  for (std::string line; std::getline(printed, line);) {
    if (!line.empty() && line[0] != '#') EXPECT_THAT(text, HasSubstr("\n" + line + "\n"));
  }
}

}  // namespace
}  // namespace pmshelf::app
