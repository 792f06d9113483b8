// Promises of the command line: what is refused before a daemon is asked, what completion offers,
// and that the manual knows every command and option.
#include "client/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "client/cli/complete.h"

namespace pmshelf::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

using Words = std::vector<std::string>;

// "" when the line is understood, else the report.
std::string refusal(const Words& words) {
  CommandLine line;
  const auto stop = line.parse(words);
  if (!stop) return {};
  EXPECT_EQ(stop->exit_code, 2);
  return stop->text;
}

TEST(CommandLine, GlobalOptionsStandAnywhere) {
  for (const Words& words : {Words{"--json", "--timeout", "2s", "shelf", "stat", "x"},
                             Words{"shelf", "--json", "stat", "--timeout", "2s", "x"},
                             Words{"shelf", "stat", "x", "--timeout", "2s", "--json"}}) {
    CommandLine line;
    ASSERT_FALSE(line.parse(words));
    EXPECT_TRUE(line.globals().json);
    EXPECT_EQ(line.globals().timeout_ms, 2000u);
    EXPECT_EQ(line.chosen().name, "shelf stat");
  }
}

TEST(CommandLine, NamesThatEqualCommandsAreNames) {
  EXPECT_EQ(refusal({"shelf", "create", "status", "1GiB"}), "");
  EXPECT_EQ(refusal({"shelf", "stat", "ls"}), "");
  EXPECT_EQ(refusal({"shelf", "rename", "shelf", "region"}), "");
  EXPECT_EQ(refusal({"token", "create", "token"}), "");
}

TEST(CommandLine, WordsAfterDashesReachTheLockedCommandUntouched) {
  CommandLine line;
  ASSERT_FALSE(line.parse({"region", "lock", "a/b", "--shared", "--", "sh", "-c", "[ a, b ]",
                           "--json", "", "--", "x"}));
  EXPECT_THAT(line.chosen().trailing, ElementsAre("sh", "-c", "[ a, b ]", "--json", "", "--", "x"));
  EXPECT_FALSE(line.globals().json);
}

TEST(CommandLine, DashesProtectNamesThatBeginWithADash) {
  EXPECT_EQ(refusal({"region", "stat", "--", "-x/y"}), "");
  EXPECT_THAT(refusal({"region", "stat", "-x/y"}), HasSubstr("usage"));
}

TEST(CommandLine, MistakesAreNamedWithAHint) {
  EXPECT_THAT(refusal({}), HasSubstr("a command is missing"));
  EXPECT_THAT(refusal({"shelf"}), HasSubstr("'pmshelf shelf --help'"));
  EXPECT_THAT(refusal({"shlef", "ls"}), HasSubstr("no command 'shlef'"));
  EXPECT_THAT(refusal({"shelf", "ls", "--bogus"}), HasSubstr("'--bogus' was not expected"));
  EXPECT_THAT(refusal({"shelf", "stat", "a", "b"}), HasSubstr("'b' was not expected"));
  EXPECT_THAT(refusal({"shelf", "stat"}), HasSubstr("SHELF is required"));
  EXPECT_THAT(refusal({"shelf", "create", "x", "-1"}), HasSubstr("'-1' is not a size"));
  EXPECT_THAT(refusal({"shelf", "create", "x", "9999999TiB"}), HasSubstr("not a size"));
  EXPECT_THAT(refusal({"shelf", "acl", "x", "--grant", "bob"}), HasSubstr("PRINCIPAL=RIGHTS"));
  EXPECT_THAT(refusal({"shelf", "acl", "x", "--same-host", "no"}), HasSubstr("direct|copy|off"));
  EXPECT_THAT(refusal({"--path", "rdma", "status"}), HasSubstr("'rdma' is none of local|tcp"));
  EXPECT_THAT(refusal({"--timeout", "soon", "status"}), HasSubstr("'soon' is not a duration"));
  EXPECT_THAT(refusal({"--timeout", "0s", "status"}), HasSubstr("is not between"));
  EXPECT_THAT(refusal({"--dir", "x", "--target", "y", "status"}), HasSubstr("excludes"));
  EXPECT_THAT(refusal({"ping", "--count", "0"}), HasSubstr("--count"));
  EXPECT_THAT(refusal({"completion", "csh"}), HasSubstr("csh"));
}

TEST(CommandLine, TargetComesFromOptionThenEnvironment) {
  ::setenv("PMSHELF_TARGET", "from-environment", 1);
  const auto target = [](Words words) {
    words.emplace_back("status");
    CommandLine line;
    EXPECT_FALSE(line.parse(words));
    return line.globals().connect.target;
  };
  EXPECT_EQ(target({}), "from-environment");
  EXPECT_EQ(target({"-t", "host"}), "host");
  EXPECT_EQ(target({"--dir", "/x"}), "dir:/x");
  ::unsetenv("PMSHELF_TARGET");
  EXPECT_EQ(target({}), "");
}

TEST(CommandLine, HelpOfEveryCommandHasAnExample) {
  const auto visit = [](const auto& self, const CLI::App& app, Words words) -> void {
    for (const CLI::App* command : app.get_subcommands({})) {
      if (command->get_group().empty()) continue;
      Words line_words = words;
      line_words.push_back(command->get_name());
      if (command->get_require_subcommand_min() == 0) {
        CommandLine line;
        Words asked = line_words;
        asked.emplace_back("--help");
        const auto stop = line.parse(asked);
        ASSERT_TRUE(stop);
        EXPECT_EQ(stop->exit_code, 0);
        EXPECT_THAT(stop->text, HasSubstr("Examples:\n  "));
        EXPECT_THAT(stop->text, HasSubstr("Usage: pmshelf "));
      }
      self(self, *command, line_words);
    }
  };
  CommandLine line;
  visit(visit, line.app(), {});
}

Completion complete_line(const Words& words) {
  CommandLine line;
  return complete(line.app(), words);
}

TEST(Complete, OffersCommandsOptionsAndChoices) {
  EXPECT_THAT(complete_line({"sh"}).words, ElementsAre("shelf"));
  EXPECT_THAT(complete_line({}).words, Contains("region"));
  EXPECT_THAT(complete_line({""}).words, Not(Contains("__complete")));
  EXPECT_THAT(complete_line({"shelf", "s"}).words, ElementsAre("stat", "shrink"));
  EXPECT_THAT(complete_line({"shelf", "erase", "--only"}).words, ElementsAre("--only-if-empty"));
  EXPECT_THAT(complete_line({"shelf", "erase", "--"}).words,
              IsSupersetOf({"--yes", "--target", "--only-if-empty"}));
  EXPECT_THAT(complete_line({"shelf", "acl", "x", "--same-host", ""}).words,
              ElementsAre("direct", "copy", "off"));
  EXPECT_THAT(complete_line({"completion", "b"}).words, ElementsAre("bash"));
}

TEST(Complete, KnowsWhoKnowsTheRest) {
  using Ask = Completion::Ask;
  EXPECT_EQ(complete_line({"shelf", "stat", ""}).ask, Ask::kShelves);
  EXPECT_EQ(complete_line({"region", "get", "tr"}).ask, Ask::kRegions);
  EXPECT_EQ(complete_line({"region", "get", "a/b", ""}).ask, Ask::kFiles);
  EXPECT_EQ(complete_line({"region", "erase", "a/b", "c"}).ask, Ask::kRegions);
  EXPECT_EQ(complete_line({"region", "ls", ""}).ask, Ask::kRegions);
  EXPECT_EQ(complete_line({"pool", "check", ""}).ask, Ask::kPools);
  EXPECT_EQ(complete_line({"shelf", "create", "x", "1GiB", "--pool", ""}).ask, Ask::kPools);
  EXPECT_EQ(complete_line({"--token-file", ""}).ask, Ask::kFiles);
  EXPECT_EQ(complete_line({"region", "lock", "a/b", "--", "vi", ""}).ask, Ask::kFiles);
  EXPECT_EQ(complete_line({"shelf", "stat", "x", ""}).ask, Ask::kNothing);
}

TEST(Complete, PassesTheConnectionOptionsOfTheLineOn) {
  EXPECT_THAT(complete_line({"-t", "host", "--json", "shelf", "stat", "--ca", "f", ""}).globals,
              ElementsAre("-t", "host", "--ca", "f"));
}

// Every command and long option, in the manual as well.
TEST(Manual, KnowsEveryCommandAndOption) {
  std::ifstream file(PMSHELF_MANUAL);
  ASSERT_TRUE(file) << PMSHELF_MANUAL;
  std::stringstream text;
  text << file.rdbuf();
  std::string manual = text.str();
  size_t at = 0;
  while ((at = manual.find("\\-", at)) != std::string::npos) manual.erase(at, 1);
  CommandLine line;
  const auto visit = [&](const auto& self, const CLI::App& app, const std::string& name) -> void {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& word : option->get_lnames()) {
        EXPECT_THAT(manual, HasSubstr(" -" + word)) << name << " --" << word;
      }
    }
    for (const CLI::App* command : app.get_subcommands({})) {
      if (command->get_group().empty()) continue;
      const std::string full =
          name.empty() ? command->get_name() : name + " " + command->get_name();
      if (command->get_require_subcommand_min() == 0) {
        EXPECT_THAT(manual, HasSubstr("\n.It Cm " + full)) << full;
      }
      self(self, *command, full);
    }
  };
  visit(visit, line.app(), "");
}

}  // namespace
}  // namespace pmshelf::cli
