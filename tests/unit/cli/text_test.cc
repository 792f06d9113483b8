// Promises of the tool's words and numbers: sizes round to what they are, input is taken exactly or
// refused by name, and nothing that came from outside can act on a terminal.
#include "client/cli/text.h"

#include <gtest/gtest.h>

#include <clocale>

namespace pmshelf::cli {
namespace {

using std::chrono::milliseconds;

TEST(HumanBytes, HasThreeDigitsAndNeverShows1024OfAUnit) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1 KiB");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(100ull << 20), "100 MiB");
  EXPECT_EQ(human_bytes((100ull << 20) + 1), "100 MiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(human_rate(1.5 * 1024), "1.5 KiB/s");
  EXPECT_EQ(human_rate(-1), "0 B/s");
}

TEST(HumanDuration, ShowsTheTwoLargestUnits) {
  EXPECT_EQ(human_duration(milliseconds(0)), "0 ms");
  EXPECT_EQ(human_duration(milliseconds(999)), "999 ms");
  EXPECT_EQ(human_duration(milliseconds(59'999)), "59 s");
  EXPECT_EQ(human_duration(milliseconds(60'000)), "1 m");
  EXPECT_EQ(human_duration(milliseconds(3'723'000)), "1 h 2 m");
  EXPECT_EQ(human_duration(milliseconds(86'400'000 + 3'600'000)), "1 d 1 h");
}

TEST(HumanTime, ZeroIsADashAndAbsurdTimesDoNotFail) {
  EXPECT_EQ(human_time(0), "-");
  EXPECT_EQ(human_time(1'700'000'000'000).size(), 19u);
  EXPECT_FALSE(human_time(UINT64_MAX).empty());
}

TEST(ParseSize, TakesBytesAndUnitsOfBothKinds) {
  EXPECT_EQ(*parse_size("0"), 0u);
  EXPECT_EQ(*parse_size("4096"), 4096u);
  EXPECT_EQ(*parse_size("64MiB"), 64ull << 20);
  EXPECT_EQ(*parse_size("64m"), 64ull << 20);
  EXPECT_EQ(*parse_size("1.5 GiB"), 3ull << 29);
  EXPECT_EQ(*parse_size("10GB"), 10'000'000'000u);
  EXPECT_EQ(*parse_size("9007199254740993"), 9007199254740993u);
  EXPECT_EQ(*parse_size("9007199254740993b"), 9007199254740993u);
}

TEST(ParseSize, RefusesWhatIsNoSizeAndNamesIt) {
  for (const char* text : {"", "MiB", "-1", "1.5", "1.2.3MiB", "0x10", "1e9", "12 parsecs", ".",
                           "99999999TiB", "18446744073709551616", "1.0e99TiB"}) {
    const auto size = parse_size(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_NE(size.error().message().find(text), std::string::npos);
  }
}

TEST(ParseDuration, TakesUnitsAndBareSeconds) {
  EXPECT_EQ(*parse_duration_ms("500ms"), 500u);
  EXPECT_EQ(*parse_duration_ms("5"), 5000u);
  EXPECT_EQ(*parse_duration_ms("1.5s"), 1500u);
  EXPECT_EQ(*parse_duration_ms("7d"), 7ull * 86'400'000);
  EXPECT_EQ(parse_duration_ms("5 weeks").code(), Code::kInvalidArgument);
  EXPECT_EQ(parse_duration_ms("-5s").code(), Code::kInvalidArgument);
}

TEST(Rights, AreReadAsTheyAreWritten) {
  EXPECT_EQ(rights_text(kRead | kAdmin), "r-a");
  for (uint32_t rights = 0; rights < 8; ++rights) {
    EXPECT_EQ(*parse_rights(rights_text(rights)), rights);
  }
  EXPECT_EQ(*parse_rights("-"), 0u);
  EXPECT_EQ(*parse_rights("wr"), uint32_t{kRead | kWrite});
  EXPECT_EQ(parse_rights("").code(), Code::kInvalidArgument);
  EXPECT_EQ(parse_rights("rx").code(), Code::kInvalidArgument);
}

TEST(ParseAccess, SplitsAtTheLastEqualsSign) {
  const auto entry = parse_access("cert:CN=host7=rw");
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(entry->principal, "cert:CN=host7");
  EXPECT_EQ(entry->rights, uint32_t{kRead | kWrite});
  for (const char* text : {"bob", "=rw", "bob=", "bob=q", ""}) {
    EXPECT_EQ(parse_access(text).code(), Code::kInvalidArgument) << text;
  }
}

TEST(Escape, LeavesNothingThatActsOnATerminal) {
  EXPECT_EQ(escape("plain äöü 日本"), "plain äöü 日本");
  EXPECT_EQ(escape("\x1b[31mred\n"), "\\x1b[31mred\\x0a");
  EXPECT_EQ(escape("a\\b"), "a\\\\b");
  EXPECT_EQ(escape("\xff\xc0\x80"), "\\xff\\xc0\\x80");  // no UTF-8
  EXPECT_EQ(escape("\xc2\x9b"
                   "31m"),
            "\\xc2\\x9b"
            "31m");  // CSI as one character
  EXPECT_EQ(escape("\xe2\x80\xae"
                   "cba"),
            "\\xe2\\x80\\xae"
            "cba");                                      // right to left
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(escape("\xf0\x9f\x98"), "\\xf0\\x9f\\x98");  // cut short
  EXPECT_EQ(escape(std::string("\0", 1)), "\\x00");
}

TEST(Utf8, KnowsWhatIsWellFormed) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\n\xf0\x9f\x98\x80"));
  EXPECT_FALSE(is_utf8("\xf4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(is_utf8("\xe0\x80\x80"));      // over-long
  EXPECT_FALSE(is_utf8("abc\x80"));
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr);
  EXPECT_EQ(display_width("äöü"), 3u);
  EXPECT_EQ(display_width("日本"), 4u);
  EXPECT_EQ(display_width("e\xcc\x81"), 1u);  // combining accent
}

TEST(Base64, MatchesRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xfe"), "//4=");
}

TEST(RegionPath, IsSplitAtTheFirstSlash) {
  const auto path = parse_region_path("train/a/b");
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path->shelf, "train");
  EXPECT_EQ(path->region, "a/b");
  for (const char* text : {"", "train", "/a", "train/", "/"}) {
    EXPECT_EQ(parse_region_path(text).code(), Code::kInvalidArgument) << text;
  }
  EXPECT_EQ(parse_shelf_prefix("train")->region, "");
  EXPECT_EQ(parse_shelf_prefix("train/")->region, "");
  EXPECT_EQ(parse_shelf_prefix("train/ep")->region, "ep");
  EXPECT_EQ(parse_shelf_prefix("/x").code(), Code::kInvalidArgument);
  EXPECT_EQ(parse_shelf_prefix("").code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace pmshelf::cli
