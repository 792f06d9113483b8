#include "common/base/units.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

namespace pmshelf {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};

constexpr std::array<Unit, 15> kUnits = {{{"", 1},
                                          {"b", 1},
                                          {"k", kKiB},
                                          {"m", kMiB},
                                          {"g", kGiB},
                                          {"t", kTiB},
                                          {"kib", kKiB},
                                          {"mib", kMiB},
                                          {"gib", kGiB},
                                          {"tib", kTiB},
                                          {"kb", 1000},
                                          {"mb", 1000'000},
                                          {"gb", 1000'000'000},
                                          {"tb", 1000'000'000'000},
                                          {"bytes", 1}}};

Error bad_size(std::string_view text) {
  return Error(Code::kInvalidArgument, "'" + std::string(text) +
                                           "' is not a size; write a number of bytes or one with "
                                           "a unit, such as 4096, 64MiB or 1.5GiB");
}

constexpr std::array<std::pair<std::string_view, uint64_t>, 5> kDurations = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

Error bad_duration(std::string_view text) {
  return Error(Code::kInvalidArgument, "'" + std::string(text) +
                                           "' is not a duration; write a number with a unit, "
                                           "such as 500ms, 30s, 2m, 1h or 7d");
}

}  // namespace

Result<uint64_t> parse_bytes(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (parsed.ec != std::errc() || number < 0) return bad_size(text);
  std::string unit;
  for (const char* at = parsed.ptr; at != end; ++at) {
    if (*at != ' ')
      unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(*at))));
  }
  for (const Unit& known : kUnits) {
    if (known.name != unit) continue;
    const double bytes = number * static_cast<double>(known.bytes);
    if (bytes >= std::ldexp(1.0, 63)) return bad_size(text);
    if (known.bytes != 1) return static_cast<uint64_t>(bytes);
    uint64_t whole = 0;  // plain byte counts stay exact above 2^53
    const auto exact = std::from_chars(text.data(), end, whole);
    if (exact.ec != std::errc() || exact.ptr != parsed.ptr) return bad_size(text);
    return whole;
  }
  return bad_size(text);
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array<std::pair<uint64_t, const char*>, 4> kSteps = {
      {{kTiB, "TiB"}, {kGiB, "GiB"}, {kMiB, "MiB"}, {kKiB, "KiB"}}};
  for (const auto& [step, name] : kSteps) {
    if (bytes < step) continue;
    char text[48];
    const bool whole = bytes % step == 0;
    const double value = static_cast<double>(bytes) / static_cast<double>(step);
    std::snprintf(text, sizeof text, whole ? "%.0f %s" : "%.1f %s", value, name);
    return text;
  }
  return std::to_string(bytes) + " B";
}

Result<uint64_t> parse_duration_ms(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (parsed.ec != std::errc() || number < 0) return bad_duration(text);
  const std::string_view unit(parsed.ptr, static_cast<size_t>(end - parsed.ptr));
  if (unit.empty() && number == 0) return uint64_t{0};
  for (const auto& [name, ms] : kDurations) {
    if (name != unit) continue;
    const double total_ms = std::round(number * static_cast<double>(ms));
    if (total_ms >= std::ldexp(1.0, 53)) return bad_duration(text);
    return static_cast<uint64_t>(total_ms);
  }
  return bad_duration(text);
}

std::string format_duration_ms(uint64_t ms) {
  for (const auto& [name, unit_ms] : kDurations) {
    if (ms != 0 && ms % unit_ms == 0) return std::to_string(ms / unit_ms) + std::string(name);
  }
  return "0s";
}

}  // namespace pmshelf
