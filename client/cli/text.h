// Words and numbers for people: sizes, times, rights, names that may hold anything.
// Pure functions; any thread. JSON output uses none of these but the parsers.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "pmshelf/client.h"

namespace pmshelf::cli {

// 1536 -> "1.5 KiB"; three digits at most, exact numbers without a fraction.
std::string human_bytes(uint64_t bytes);
// 1.5e6 per second -> "1.4 MiB/s".
std::string human_rate(double bytes_per_second);
// The two largest units: "3 d 4 h", "2 m 5 s", "12 s", "350 ms".
std::string human_duration(std::chrono::milliseconds duration);
// Local time "2025-11-20 08:08:12"; "-" for 0.
std::string human_time(uint64_t unix_ms);

// Bits of Right -> "rwa", "r--"; the letters of parse_rights.
std::string rights_text(uint32_t rights);
// "r", "rw", "rwa" in any order; "-" is no right. kInvalidArgument names the text.
Result<uint32_t> parse_rights(std::string_view text);
// "unix:bob=rw": everything before the last '=' is the principal. kInvalidArgument.
Result<AccessEntry> parse_access(std::string_view text);

// "4096", "64MiB", "64m", "1.5 GiB", "10GB" (decimal); any case. kInvalidArgument names the text.
Result<uint64_t> parse_size(std::string_view text);
// "500ms", "30s", "10m", "12h", "7d"; a bare number is seconds. Milliseconds. kInvalidArgument.
Result<uint64_t> parse_duration_ms(std::string_view text);

std::string_view storage_class_name(StorageClass storage_class);
std::string_view same_host_name(SameHostPolicy policy);

// Safe for a terminal and unambiguous: control characters, bytes that are no UTF-8, and characters
// that turn the direction of text become \xNN; a backslash becomes two.
std::string escape(std::string_view text);
// Columns that escaped text takes on a terminal. Wide characters of East Asia count two where the
// locale says so.
size_t display_width(std::string_view text);
// Well-formed UTF-8 without surrogates and over-long forms.
bool is_utf8(std::string_view text);
std::string base64(std::string_view bytes);

// A region as people name it: "SHELF/REGION", split at the first '/'; a region's name may hold
// more.
struct RegionPath {
  std::string shelf, region;
};
// kInvalidArgument when either side is empty or there is no '/'.
Result<RegionPath> parse_region_path(std::string_view text);
// "SHELF" or "SHELF/PREFIX" of a listing: the region part may be empty. kInvalidArgument.
Result<RegionPath> parse_shelf_prefix(std::string_view text);

// "1 region", "3 regions".
std::string counted(uint64_t count, std::string_view noun);

}  // namespace pmshelf::cli
