// What decode_header accepts is exactly what encode_header makes.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "common/wire/frame.h"

using namespace pmshelf::wire;

static void check(std::span<const std::byte, kFrameHeaderBytes> bytes) {
  const auto header = decode_header(bytes);
  if (!header.ok()) return;
  std::array<std::byte, kFrameHeaderBytes> again;
  encode_header(*header, again);
  if (!std::ranges::equal(again, bytes)) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (input.size() < kFrameHeaderBytes) return 0;
  check(input.first<kFrameHeaderBytes>());
  std::array<std::byte, kFrameHeaderBytes> repaired;  // reach what the CRC would hide
  std::copy_n(input.begin(), kFrameHeaderBytes, repaired.begin());
  pmshelf::store_le<uint32_t>(repaired.data() + 60, pmshelf::crc32c(std::span(repaired).first(60)));
  check(repaired);
  return 0;
}
