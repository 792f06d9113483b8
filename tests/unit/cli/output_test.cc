// Promises of what is printed: aligned tables, documents with the keys of the manual, errors with
// their cure, exit codes that never change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "client/cli/access_list.h"
#include "client/cli/exit_code.h"
#include "client/cli/help.h"
#include "client/cli/json.h"
#include "client/cli/progress.h"
#include "client/cli/rates.h"
#include "client/cli/table.h"
#include "client/cli/views.h"

namespace pmshelf::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& item : object.items()) names.push_back(item.key());
  return names;
}

TEST(Table, AlignsColumnsAndLeavesNoTrailingBlanks) {
  Table table({{"NAME"}, {"SIZE", Align::kRight}, {"NOTE"}});
  table.add({"a", "10 B", "x"});
  table.add({"long-name", "1 KiB", ""});
  EXPECT_EQ(table.text(),
            "NAME        SIZE  NOTE\n"
            "a           10 B  x\n"
            "long-name  1 KiB\n");
  EXPECT_THAT(table.text(false), Not(HasSubstr("NAME")));
}

TEST(Table, EscapesCellsAndKeepsAlignment) {
  Table table({{"NAME"}, {"X"}});
  table.add({"\x1b[2J", "1"});
  table.add({"plainish", "2"});
  EXPECT_EQ(table.text(), "NAME      X\n\\x1b[2J   1\nplainish  2\n");
}

TEST(Facts, LeaveOutWhatIsEmpty) {
  EXPECT_EQ(facts({{"a", "1"}, {"longer", ""}, {"bb", "2\n"}}), "a:   1\nbb:  2\\x0a\n");
}

TEST(RegionsPage, PagesFitUnderOneHeading) {
  RegionStat region;
  region.name = "w";
  region.bytes = 1023ull << 20;
  region.modified_unix_ms = 1'700'000'000'000;
  const std::string first = regions_page({region}, "", true);
  region.bytes = 1;
  region.modified_unix_ms = 0;
  const std::string second = regions_page({region}, "", false);
  const size_t column = first.find('w', first.find('\n')) - first.find('\n') - 1;
  EXPECT_EQ(second.find('w'), column);
  EXPECT_THAT(regions_page({region}, "train", false), HasSubstr("train/w"));
}

TEST(CheckText, SaysDamagedWithEveryProblemAndIsSilentWhenAskedFor) {
  ShelfCheck check;
  check.shelf = "train";
  check.records_checked = 1;
  EXPECT_THAT(check_text(check, false), HasSubstr("train: ok, 1 record, 0 regions"));
  EXPECT_EQ(check_text(check, true), "");
  check.problems = {"record 7 is damaged"};
  check.bad_block_regions = {"w"};
  for (const bool damage_only : {false, true}) {
    EXPECT_THAT(check_text(check, damage_only), HasSubstr("DAMAGED"));
    EXPECT_THAT(check_text(check, damage_only), HasSubstr("record 7 is damaged\n"));
    EXPECT_THAT(check_text(check, damage_only), HasSubstr("region w\n"));
  }
}

TEST(FindSession, TakesOnePrefixAndNoGuesses) {
  std::vector<SessionStat> sessions(3);
  sessions[0].id = "aaaa1111aaaa1111aaaa1111aaaa1111";
  sessions[1].id = "aaaa2222aaaa1111aaaa1111aaaa1111";
  sessions[2].id = "bbbb1111aaaa1111aaaa1111aaaa1111";
  EXPECT_EQ(find_session(sessions, "bbbb")->id, sessions[2].id);
  EXPECT_EQ(find_session(sessions, sessions[0].id)->id, sessions[0].id);
  EXPECT_EQ(find_session(sessions, "aaaa").code(), Code::kInvalidArgument);
  EXPECT_EQ(find_session(sessions, "bb").code(), Code::kInvalidArgument);
  EXPECT_EQ(find_session(sessions, "").code(), Code::kInvalidArgument);
  EXPECT_EQ(find_session(sessions, "zzzz").code(), Code::kInvalidArgument);
  EXPECT_EQ(find_session(sessions, "cccc").code(), Code::kNotFound);
}

TEST(Json, ShapesAreThoseOfTheManual) {
  EXPECT_THAT(keys(to_json(ShelfStat())),
              ElementsAre("name", "pool", "owner", "access", "same_host", "storage_class", "space",
                          "created_unix_ms", "read_only", "offline", "trouble", "my_rights"));
  EXPECT_THAT(keys(to_json(Space())),
              ElementsAre("capacity_bytes", "used_bytes", "free_bytes", "metadata_bytes",
                          "held_bytes", "largest_free_bytes", "region_count"));
  EXPECT_THAT(keys(to_json(RegionStat())),
              ElementsAre("name", "id", "bytes", "footprint_bytes", "modified_unix_ms",
                          "attributes", "attributes_base64", "grants", "locks"));
  EXPECT_THAT(keys(to_json(PoolStat())),
              ElementsAre("name", "path", "kind", "storage_class", "total_bytes", "available_bytes",
                          "shelf_count", "preallocate", "trouble"));
  EXPECT_THAT(keys(to_json(ShelfCheck())),
              ElementsAre("shelf", "problems", "bad_block_regions", "records_checked",
                          "regions_checked", "space"));
  EXPECT_THAT(keys(to_json(SessionStat())),
              ElementsAre("id", "principal", "client_name", "peer", "paths", "idle_ms", "age_ms",
                          "grants", "locks"));
  EXPECT_THAT(keys(to_json(TokenStat())),
              ElementsAre("name", "principal", "shelves", "rights", "created_by", "created_unix_ms",
                          "expires_unix_ms"));
  EXPECT_THAT(keys(to_json(DaemonStatus())),
              ElementsAre("version", "principal", "administrator", "draining", "boot_epoch",
                          "uptime_ms", "recovery_us", "sessions", "grants", "shelves", "counters"));
}

TEST(Json, NumbersAndNamesSurviveExactly) {
  RegionStat region;
  region.name = "a\n\"日本";
  region.bytes = UINT64_MAX;
  region.attributes = {{"dtype", "<f8"}, {"raw", "\xff\x01"}};
  const Json back = Json::parse(json_text(to_json(region)));
  EXPECT_EQ(back["name"], region.name);
  EXPECT_EQ(back["bytes"], UINT64_MAX);
  EXPECT_EQ(back["attributes"], (Json{{"dtype", "<f8"}}));
  EXPECT_EQ(back["attributes_base64"], (Json{{"raw", "/wE="}}));
}

TEST(Json, BytesThatAreNoUtf8NeverThrow) {
  SessionStat session;
  session.client_name = "bad\xff";
  EXPECT_EQ(Json::parse(json_text(to_json(session)))["client_name"], "bad\xef\xbf\xbd");
}

TEST(RegionListing, PiecesMakeOneDocument) {
  for (const int count : {0, 1, 3}) {
    RegionListing listing;
    std::string text = listing.begin(Json{{"shelf", "train"}});
    for (int i = 0; i < count; ++i) text += listing.item(to_json(RegionStat()));
    text += listing.end(true);
    const Json document = Json::parse(text);
    EXPECT_THAT(keys(document), ElementsAre("shelf", "regions", "more"));
    EXPECT_EQ(document["regions"].size(), static_cast<size_t>(count));
    EXPECT_EQ(document["more"], true);
  }
}

// Scripts rely on every one of these.
TEST(ExitCodes, AreTheDocumentedOnes) {
  const std::map<Code, int> expected = {{Code::kOk, 0},
                                        {Code::kInvalidArgument, 2},
                                        {Code::kNotFound, 4},
                                        {Code::kAlreadyExists, 6},
                                        {Code::kPermissionDenied, 5},
                                        {Code::kUnauthenticated, 5},
                                        {Code::kSessionExpired, 1},
                                        {Code::kStaleGrant, 6},
                                        {Code::kLocked, 6},
                                        {Code::kBusy, 6},
                                        {Code::kNoSpace, 7},
                                        {Code::kResourceExhausted, 7},
                                        {Code::kOutOfRange, 1},
                                        {Code::kCorrupt, 8},
                                        {Code::kIo, 1},
                                        {Code::kReadOnly, 1},
                                        {Code::kUnavailable, 3},
                                        {Code::kUnknownOutcome, 1},
                                        {Code::kDeadlineExceeded, 1},
                                        {Code::kUnsupported, 1},
                                        {Code::kConflict, 6},
                                        {Code::kInternal, 1}};
  ASSERT_EQ(expected.size(), kCodeMax + 1u);
  for (const auto& [code, number] : expected) {
    EXPECT_EQ(exit_code(code), number) << static_cast<int>(code);
  }
}

TEST(ErrorReport, NamesTheCommandTheCauseAndTheCure) {
  EXPECT_EQ(error_report("region put", Error(Code::kIo, "disk\x1b[2J on fire")),
            "pmshelf: region put: disk\\x1b[2J on fire\n");
  EXPECT_THAT(error_report("status", Error(Code::kUnavailable, "nobody there")),
              HasSubstr("\npmshelf: hint: start the daemon"));
}

TEST(ChangedAccess, SetsAddsAndRemoves) {
  const std::vector<AccessEntry> before = {{"unix:a", kRead}, {"unix:b", kRead}};
  AccessChange change;
  change.grants = {"unix:b=rw", "unix:c=r"};
  change.revokes = {"unix:a"};
  const auto after = changed_access(before, change);
  ASSERT_TRUE(after.ok());
  ASSERT_EQ(after->size(), 2u);
  EXPECT_EQ((*after)[0].principal, "unix:b");
  EXPECT_EQ((*after)[0].rights, uint32_t{kRead | kWrite});
  EXPECT_EQ((*after)[1].principal, "unix:c");
}

TEST(ChangedAccess, RevokingWhoIsNotThereIsAnError) {
  AccessChange change;
  change.revokes = {"unix:x"};
  EXPECT_EQ(changed_access({}, change).code(), Code::kNotFound);
}

TEST(Progress, IsSilentForASecondThenSpeaksFiveTimesASecond) {
  const Progress::Time start{};
  Progress progress("put a/b", 1000 << 20, start);
  EXPECT_FALSE(progress.update(10, start + 999ms, 80));
  const auto line = progress.update(250 << 20, start + 1s, 80);
  ASSERT_TRUE(line);
  EXPECT_EQ(*line, "25%  250 MiB of 1000 MiB  250 MiB/s  4 s left  put a/b");
  EXPECT_TRUE(progress.shown());
  EXPECT_FALSE(progress.update(260 << 20, start + 1199ms, 80));
  EXPECT_TRUE(progress.update(260 << 20, start + 1200ms, 80));
}

TEST(Progress, NeverOverflowsTheLineAndKnowsNoDivisionByZero) {
  const Progress::Time start{};
  Progress progress("日本日本", 0, start);  // before it: "0 B  0 B/s  "
  const auto line = progress.update(0, start + 2s, 14);
  ASSERT_TRUE(line);
  EXPECT_EQ(*line, "0 B  0 B/s  ");
  EXPECT_EQ(*Progress("日本", 0, start).update(0, start + 2s, 15), "0 B  0 B/s  日");
  EXPECT_EQ(transfer_summary(0, 0ns), "0 B in 0 ms, 0 B/s");
  EXPECT_EQ(transfer_summary(3 << 20, 1500ms), "3 MiB in 1 s, 2 MiB/s");
}

TEST(CounterRates, RestartAndNewCountersCountFromZero) {
  const auto rates = counter_rates({{"a", 10}, {"b", 100}}, {{"a", 30}, {"b", 4}, {"c", 2}}, 2s);
  ASSERT_EQ(rates.size(), 3u);
  EXPECT_DOUBLE_EQ(rates[0].per_second, 10);
  EXPECT_DOUBLE_EQ(rates[1].per_second, 2);
  EXPECT_DOUBLE_EQ(rates[2].per_second, 1);
  EXPECT_THAT(rates_text({{"written_bytes", 1 << 20, 1024}}), HasSubstr("1 MiB"));
  EXPECT_THAT(rates_text({{"written_bytes", 1 << 20, 1024}}), HasSubstr("1 KiB/s"));
  EXPECT_THAT(rates_text({{"calls", 5, 0.5}}), HasSubstr("0.5/s"));
}

TEST(Wrapped, BreaksAtBlanksOnly) {
  EXPECT_EQ(wrapped("aa bb cc", 2, 7), "aa bb\n  cc");
  EXPECT_EQ(wrapped("aaaaaaaaaaaa b", 2, 5), "aaaaaaaaaaaa\n  b");
  EXPECT_EQ(wrapped("", 2, 5), "");
}

}  // namespace
}  // namespace pmshelf::cli
