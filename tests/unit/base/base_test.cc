// Promises of common/base: errors keep their words, sizes are parsed exactly, CRCs are CRC-32C.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "common/base/clock.h"
#include "common/base/crc32c.h"
#include "common/base/units.h"
#include "pmshelf/result.h"

namespace pmshelf {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Error(Code::kInvalidArgument, "odd");
  return value / 2;
}

Result<int> quarter(int value) {
  PMSHELF_TRY_ASSIGN(const int once, half(value));
  PMSHELF_TRY_ASSIGN(const int twice, half(once));
  return twice;
}

TEST(Result, TryAssignPassesValuesAndErrorsOn) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).code(), Code::kInvalidArgument);
  EXPECT_EQ(quarter(6).error().to_string(), "invalid_argument: odd");
  EXPECT_EQ(quarter(6).error().with_context("six").message(), "six: odd");
}

TEST(Code, EveryCodeHasAName) {
  for (uint16_t code = 0; code <= kCodeMax; ++code) {
    EXPECT_NE(code_name(static_cast<Code>(code)), "unknown_code") << code;
  }
  EXPECT_EQ(code_name(static_cast<Code>(kCodeMax + 1)), "unknown_code");
}

TEST(ParseBytes, AcceptsNumbersWithAndWithoutUnits) {
  EXPECT_EQ(*parse_bytes("0"), 0u);
  EXPECT_EQ(*parse_bytes("4096"), 4096u);
  EXPECT_EQ(*parse_bytes("64MiB"), 64 * kMiB);
  EXPECT_EQ(*parse_bytes("64m"), 64 * kMiB);
  EXPECT_EQ(*parse_bytes("1.5 GiB"), kGiB + kGiB / 2);
  EXPECT_EQ(*parse_bytes("10GB"), 10'000'000'000u);
  EXPECT_EQ(*parse_bytes("9007199254740993"), 9007199254740993u);
}

TEST(ParseBytes, RefusesWhatIsNotASizeAndNamesIt) {
  for (const char* text : {"", "x", "-1", "1e99", "12 parsecs", "1.5", "99999999TiB", "0x10"}) {
    const auto parsed = parse_bytes(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message().find(text), std::string::npos);
  }
}

TEST(FormatBytes, IsShortAndExactForWholeUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(2 * kTiB), "2 TiB");
}

TEST(RangeInside, NeverOverflows) {
  EXPECT_TRUE(range_inside(0, 0, 0));
  EXPECT_TRUE(range_inside(8, 8, 16));
  EXPECT_FALSE(range_inside(8, 9, 16));
  EXPECT_FALSE(range_inside(17, 0, 16));
  EXPECT_FALSE(range_inside(1, ~uint64_t{0}, 16));
}

TEST(Crc32c, MatchesThePublishedCheckValueAndContinues) {
  const char digits[] = "123456789";
  const auto* bytes = reinterpret_cast<const std::byte*>(digits);
  EXPECT_EQ(crc32c({bytes, 9}), 0xE3069283u);
  EXPECT_EQ(crc32c({bytes + 4, 5}, crc32c({bytes, 4})), 0xE3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock;
  const uint64_t before = clock.boot_ms();
  clock.advance_ms(5);
  EXPECT_EQ(clock.boot_ms(), before + 5);
  SystemClock system;
  EXPECT_LE(system.boot_ms(), system.boot_ms());
}

TEST(Durations, AreParsedWithTheirUnitAndPrintedWithoutLoss) {
  EXPECT_EQ(*parse_duration_ms("500ms"), 500U);
  EXPECT_EQ(*parse_duration_ms("30s"), 30'000U);
  EXPECT_EQ(*parse_duration_ms("1.5h"), 5'400'000U);
  EXPECT_EQ(*parse_duration_ms("7d"), 604'800'000U);
  EXPECT_EQ(*parse_duration_ms("0"), 0U);
  for (const char* bad : {"", "5", "s", "-1s", "1y", "1 s", "nan s", "1e3s", "9999999999999999d"}) {
    EXPECT_EQ(parse_duration_ms(bad).code(), Code::kInvalidArgument) << bad;
  }
  for (const uint64_t ms : {0ULL, 1ULL, 1500ULL, 90'000ULL, 120'000ULL, 86'400'000ULL}) {
    EXPECT_EQ(*parse_duration_ms(format_duration_ms(ms)), ms);
  }
  EXPECT_EQ(format_duration_ms(90'000), "90s");
  EXPECT_EQ(format_duration_ms(120'000), "2m");
}

}  // namespace
}  // namespace pmshelf
