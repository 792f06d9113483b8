#include "common/base/attributes.h"

#include <cstddef>

#include "common/base/endian.h"
#include "common/base/utf8.h"

namespace pmshelf {
namespace {

constexpr size_t kPairHeaderBytes = 6;  // u16 key length, u32 value length

bool is_valid_key(std::string_view key) {
  return !key.empty() && key.size() <= kAttributeKeyBytesMax &&
         key.find('\0') == std::string_view::npos && is_valid_utf8(key);
}

Error damaged(const char* what) {
  return Error(Code::kCorrupt, std::string("attributes: ") + what);
}

}  // namespace

Result<std::string> encode_attributes(const std::map<std::string, std::string>& attributes) {
  std::string out;
  for (const auto& [key, value] : attributes) {
    if (!is_valid_key(key)) {
      return Error(Code::kInvalidArgument, "attribute key of " + std::to_string(key.size()) +
                                               " bytes: must be 1..255 bytes of UTF-8 without NUL");
    }
    // Compared before anything is added: no sum of lengths can overflow.
    if (value.size() > kAttributeBytesMax ||
        out.size() + kPairHeaderBytes + key.size() + value.size() > kAttributeBytesMax) {
      return Error(Code::kInvalidArgument, "attributes: more than " +
                                               std::to_string(kAttributeBytesMax) +
                                               " bytes in all, at key '" + key + "'");
    }
    std::byte header[kPairHeaderBytes];
    store_le<uint16_t>(header, static_cast<uint16_t>(key.size()));
    store_le<uint32_t>(header + 2, static_cast<uint32_t>(value.size()));
    out.append(reinterpret_cast<const char*>(header), kPairHeaderBytes);
    out += key;
    out += value;
  }
  return out;
}

Result<std::map<std::string, std::string>> decode_attributes(std::string_view bytes) {
  if (bytes.size() > kAttributeBytesMax) return damaged("longer than 32 KiB");
  std::map<std::string, std::string> out;
  while (!bytes.empty()) {
    if (bytes.size() < kPairHeaderBytes) return damaged("cut off in a pair's header");
    const auto* header = reinterpret_cast<const std::byte*>(bytes.data());
    const size_t key_bytes = load_le<uint16_t>(header);
    const size_t value_bytes = load_le<uint32_t>(header + 2);
    bytes.remove_prefix(kPairHeaderBytes);
    if (key_bytes > bytes.size() || value_bytes > bytes.size() - key_bytes) {
      return damaged("cut off in a pair");
    }
    const std::string_view key = bytes.substr(0, key_bytes);
    if (!is_valid_key(key)) return damaged("a key is empty, too long or not UTF-8");
    if (!out.empty() && key <= out.rbegin()->first) return damaged("keys do not ascend");
    out.emplace_hint(out.end(), key, bytes.substr(key_bytes, value_bytes));
    bytes.remove_prefix(key_bytes + value_bytes);
  }
  return out;
}

}  // namespace pmshelf
