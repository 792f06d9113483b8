#include "client/cli/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <cwchar>
#include <optional>
#include <span>

namespace pmshelf::cli {
namespace {

struct Decoded {
  uint32_t character = 0;
  size_t length = 0;  // 0: not UTF-8
};

// One character at the front of `text`, which is not empty.
Decoded decode_utf8(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(text[at]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || text.size() < length) return {};
  uint32_t character = lead & (0xFFu >> (length + 1));
  for (size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xC0) != 0x80) return {};
    character = (character << 6) | (byte(at) & 0x3Fu);
  }
  static constexpr std::array<uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  if (character < kLeast[length] || character > 0x10FFFF) return {};
  if (character >= 0xD800 && character <= 0xDFFF) return {};
  return {character, length};
}

// Characters that would move the cursor, change colours or reorder what is shown.
bool is_unsafe(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x2069) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFB);
}

void append_hex(std::string& out, std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const char byte : bytes) {
    const auto value = static_cast<uint8_t>(byte);
    out += "\\x";
    out += kDigits[value >> 4];
    out += kDigits[value & 15];
  }
}

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr uint64_t kKi = 1024, kMi = 1024 * kKi, kGi = 1024 * kMi, kTi = 1024 * kGi;
constexpr uint64_t kK = 1000, kM = 1000 * kK, kG = 1000 * kM, kT = 1000 * kG;
constexpr std::array<Unit, 14> kSizes = {{{"", 1},
                                          {"b", 1},
                                          {"k", kKi},
                                          {"m", kMi},
                                          {"g", kGi},
                                          {"t", kTi},
                                          {"kib", kKi},
                                          {"mib", kMi},
                                          {"gib", kGi},
                                          {"tib", kTi},
                                          {"kb", kK},
                                          {"mb", kM},
                                          {"gb", kG},
                                          {"tb", kT}}};
constexpr std::array<Unit, 6> kDurations = {
    {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

// A number, blanks, a unit: the number of the smallest unit, if it is below 2^63. Plain numbers are
// exact; fractions only with a unit.
std::optional<uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view value = text.substr(0, digits);
  std::string unit;
  for (const char letter : text.substr(digits)) {
    if (letter != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  const auto known = std::find_if(units.begin(), units.end(),
                                  [&](const Unit& candidate) { return candidate.name == unit; });
  if (known == units.end()) return std::nullopt;
  uint64_t whole = 0;
  const auto exact = std::from_chars(value.data(), value.data() + value.size(), whole);
  if (exact.ec == std::errc() && exact.ptr == value.data() + value.size()) {
    if (whole > (uint64_t{1} << 63) / known->factor) return std::nullopt;
    return whole * known->factor;
  }
  double fraction = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), fraction);
  if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || unit.empty()) {
    return std::nullopt;
  }
  const double product = fraction * static_cast<double>(known->factor);
  if (product >= 0x1p63) return std::nullopt;
  return static_cast<uint64_t>(product);
}

std::string number(double value, int decimals) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

Error bad_region_path(std::string_view text, std::string_view form) {
  return Error(Code::kInvalidArgument,
               "'" + escape(text) + "' is not of the form " + std::string(form));
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 7> kNames = {"B",   "KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  size_t unit = 0;
  auto value = static_cast<double>(bytes);
  // 1023.95 would be written as 1024.0: it belongs to the next unit.
  while (value >= 1023.95 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  const uint64_t unit_bytes = uint64_t{1} << (10 * unit);
  const bool whole = bytes % unit_bytes == 0 || value >= 99.95;
  return number(value, whole ? 0 : 1) + " " + kNames[unit];
}

std::string human_rate(double bytes_per_second) {
  const double bounded = bytes_per_second < 0 ? 0 : bytes_per_second;
  return human_bytes(static_cast<uint64_t>(bounded)) + "/s";
}

std::string human_duration(std::chrono::milliseconds duration) {
  const int64_t ms = duration.count();
  if (ms < 1000) return std::to_string(ms) + " ms";
  const int64_t s = ms / 1000;
  const auto two = [](int64_t a, const char* a_unit, int64_t b, const char* b_unit) {
    std::string text = std::to_string(a) + " " + a_unit;
    if (b != 0) text += " " + std::to_string(b) + " " + b_unit;
    return text;
  };
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return two(s / 60, "m", s % 60, "s");
  if (s < 86400) return two(s / 3600, "h", s % 3600 / 60, "m");
  return two(s / 86400, "d", s % 86400 / 3600, "h");
}

std::string human_time(uint64_t unix_ms) {
  if (unix_ms == 0) return "-";
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm local{};
  char buffer[32];
  if (localtime_r(&seconds, &local) == nullptr ||
      std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &local) == 0) {
    return std::to_string(unix_ms) + " ms";
  }
  return buffer;
}

std::string rights_text(uint32_t rights) {
  std::string text = "---";
  if (rights & kRead) text[0] = 'r';
  if (rights & kWrite) text[1] = 'w';
  if (rights & kAdmin) text[2] = 'a';
  return text;
}

Result<uint32_t> parse_rights(std::string_view text) {
  uint32_t rights = 0;
  for (const char letter : text) {
    switch (letter) {
      case 'r':
        rights |= kRead;
        break;
      case 'w':
        rights |= kWrite;
        break;
      case 'a':
        rights |= kAdmin;
        break;
      case '-':
        break;
      default:
        text = {};
        break;
    }
    if (text.empty()) break;
  }
  if (!text.empty()) return rights;
  return Error(Code::kInvalidArgument,
               "rights are letters of r (read), w (write), a (admin), or - for none");
}

Result<AccessEntry> parse_access(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Error(Code::kInvalidArgument, "'" + escape(text) +
                                             "' is not of the form PRINCIPAL=RIGHTS, such as "
                                             "unix:bob=rw");
  }
  PMSHELF_TRY_ASSIGN(const uint32_t rights, parse_rights(text.substr(equals + 1)));
  return AccessEntry{std::string(text.substr(0, equals)), rights};
}

Result<uint64_t> parse_size(std::string_view text) {
  if (const auto bytes = parse_quantity(text, kSizes)) return *bytes;
  return Error(Code::kInvalidArgument,
               "'" + escape(text) + "' is not a size; write 4096, 64MiB, 1.5GiB or 10GB");
}

Result<uint64_t> parse_duration_ms(std::string_view text) {
  if (const auto ms = parse_quantity(text, kDurations)) return *ms;
  return Error(Code::kInvalidArgument,
               "'" + escape(text) + "' is not a duration; write 500ms, 30s, 10m, 12h or 7d");
}

std::string_view storage_class_name(StorageClass storage_class) {
  switch (storage_class) {
    case StorageClass::kPersistent:
      return "persistent";
    case StorageClass::kFile:
      return "file";
    case StorageClass::kVolatile:
      return "volatile";
  }
  return "unknown";
}

std::string_view same_host_name(SameHostPolicy policy) {
  switch (policy) {
    case SameHostPolicy::kDirect:
      return "direct";
    case SameHostPolicy::kCopy:
      return "copy";
    case SameHostPolicy::kOff:
      return "off";
  }
  return "unknown";
}

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Decoded decoded = decode_utf8(text);
    const size_t length = decoded.length == 0 ? 1 : decoded.length;
    const std::string_view bytes = text.substr(0, length);
    if (decoded.length == 0 || is_unsafe(decoded.character)) {
      append_hex(out, bytes);
    } else if (bytes == "\\") {
      out += "\\\\";
    } else {
      out += bytes;
    }
    text.remove_prefix(length);
  }
  return out;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const Decoded decoded = decode_utf8(text);
    const int columns =
        decoded.character < 0x80 ? 1 : ::wcwidth(static_cast<wchar_t>(decoded.character));
    width += columns < 0 ? 1 : static_cast<size_t>(columns);
    text.remove_prefix(decoded.length == 0 ? 1 : decoded.length);
  }
  return width;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Decoded decoded = decode_utf8(text);
    if (decoded.length == 0) return false;
    text.remove_prefix(decoded.length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view group = bytes.substr(at, 3);
    uint32_t word = 0;
    for (size_t i = 0; i < 3; ++i) {
      word = (word << 8) | (i < group.size() ? static_cast<uint8_t>(group[i]) : 0u);
    }
    for (size_t i = 0; i < 4; ++i) {
      out += i <= group.size() ? kLetters[(word >> (18 - 6 * i)) & 63] : '=';
    }
  }
  return out;
}

Result<RegionPath> parse_region_path(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    return bad_region_path(text, "SHELF/REGION");
  }
  return RegionPath{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

Result<RegionPath> parse_shelf_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (text.empty() || slash == 0) return bad_region_path(text, "SHELF or SHELF/PREFIX");
  if (slash == std::string_view::npos) return RegionPath{std::string(text), {}};
  return RegionPath{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::string counted(uint64_t count, std::string_view noun) {
  std::string text = std::to_string(count) + " " + std::string(noun);
  if (count != 1) text += 's';
  return text;
}

}  // namespace pmshelf::cli
