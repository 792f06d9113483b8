// Promises of access rules: who gets which rights, and globs in bounded time.
#include "server/session/rights.h"

#include <gtest/gtest.h>

#include <chrono>

namespace pmshelf::session {
namespace {

TEST(GlobMatch, FollowsTheTable) {
  struct Case {
    const char* pattern;
    const char* text;
    bool match;
  };
  for (const Case& c : {Case{"", "", true},
                        {"", "a", false},
                        {"a", "", false},
                        {"*", "", true},
                        {"*", "anything", true},
                        {"?", "", false},
                        {"?", "a", true},
                        {"?", "ab", false},
                        {"a*b", "ab", true},
                        {"a*b", "axxb", true},
                        {"a*b", "axxbc", false},
                        {"*ab", "aab", true},
                        {"*aab*", "aaaab", true},
                        {"a*b*c", "a-b-b-c", true},
                        {"a*b*c", "a-c-b", false},
                        {"**", "x", true},
                        {"x**", "x", true},
                        {"unix:*", "unix:alice", true},
                        {"unix:*", "token:alice", false},
                        {"unix:a?ice", "unix:alice", true},
                        {"train.v1", "trainXv1", false},
                        {"[a]", "a", false},
                        {"[a]", "[a]", true},
                        {"\\*", "*", false},
                        {"A", "a", false},
                        {"?", "\xC3\xA9", true},
                        {"??", "\xC3\xA9", false},
                        {"*??", "\xE2\x82\xAC", false},
                        {"*?", "\xE2\x82\xAC", true},
                        {"?x?", "\xE2\x82\xACx\xC3\xA9", true}}) {
    EXPECT_EQ(glob_match(c.pattern, c.text), c.match) << c.pattern << " ~ " << c.text;
  }
}

TEST(GlobMatch, ManyStarsDoNotBacktrackExponentially) {
  std::string pattern;
  for (int index = 0; index < 2000; ++index) pattern += "a*";
  pattern += 'b';
  const std::string text(4096, 'a');
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(glob_match(pattern, text));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(RightsOf, FollowsTheTable) {
  const std::vector<AccessRule> rules = {
      {"unix:alice", 1}, {"unix:a*", 2}, {"token:ci", 3}, {"cert:host?", 7}, {"unix:odd", 0xF8}};
  struct Case {
    const char* what;
    Principal principal;
    uint8_t rights;
  };
  const Case cases[] = {
      {"the owner has all", {.name = "unix:owner"}, 7},
      {"an administrator has all", {.name = "unix:root", .administrator = true}, 7},
      {"a stranger has none", {.name = "unix:bob"}, 0},
      {"no name is nobody's", {.name = ""}, 0},
      {"exact and glob rules add up", {.name = "unix:alice"}, 3},
      {"a glob rule alone", {.name = "unix:anna"}, 2},
      {"an exact rule is not a prefix", {.name = "token:ci2"}, 0},
      {"a one-character glob", {.name = "cert:host7"}, 7},
      {"a one-character glob, too long", {.name = "cert:host77"}, 0},
      {"unknown bits give nothing", {.name = "unix:odd"}, 0},
      {"a token's maximum bounds rules", {.name = "token:ci", .rights_max = 1}, 1},
      {"a token's maximum bounds the owner", {.name = "unix:owner", .rights_max = 1}, 1},
      {"a token's maximum bounds administrators",
       {.name = "x", .administrator = true, .rights_max = 2},
       2},
      {"a token's shelves include this one", {.name = "token:ci", .shelf_glob = "tr*"}, 3},
      {"a token's shelves exclude this one", {.name = "token:ci", .shelf_glob = "te*"}, 0},
      {"a token's shelves bound the owner", {.name = "unix:owner", .shelf_glob = "other"}, 0},
      {"a token's shelves bound administrators",
       {.name = "x", .administrator = true, .shelf_glob = "other"},
       0},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(rights_of(c.principal, "train", "unix:owner", rules), c.rights) << c.what;
  }
}

TEST(RightsOf, AShelfWithoutOwnerBelongsToNobody) {
  EXPECT_EQ(rights_of({.name = ""}, "s", "", {}), 0);
}

}  // namespace
}  // namespace pmshelf::session
