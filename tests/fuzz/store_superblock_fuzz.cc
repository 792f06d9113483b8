// What decode_superblock and decode_data_header accept is exactly what their encoders make.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>

#include "common/base/crc32c.h"
#include "common/base/endian.h"
#include "server/store/format.h"

using namespace pmshelf;
using namespace pmshelf::store;

namespace {
void reseal(std::array<std::byte, kSuperblockBytes>& block) {
  store_le<uint32_t>(&block[4092], crc32c(std::span(block).first(4092)));
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::array<std::byte, kSuperblockBytes> block{};
  const auto input = std::as_bytes(std::span(data, std::min<size_t>(size, block.size())));
  std::ranges::copy(input, block.begin());
  // The CRC would keep the fuzzer out: with the last byte of the input odd, it is made right.
  if (size > 0 && (data[size - 1] & 1) != 0) reseal(block);
  std::array<std::byte, kSuperblockBytes> again;
  if (const auto superblock = decode_superblock(block); superblock.ok()) {
    encode_superblock(*superblock, again);
    if (again != block) std::abort();
  }
  if (const auto uuid = decode_data_header(block); uuid.ok()) {
    encode_data_header(*uuid, again);
    // The minor version is not kept: a higher one is accepted.
    std::copy_n(block.begin() + 14, 2, again.begin() + 14);
    reseal(again);
    if (again != block) std::abort();
  }
  return 0;
}
