// What decode_put_meta accepts is exactly what encode_put_meta makes.
#include <algorithm>
#include <cstdlib>

#include "common/wire/frame.h"

using namespace pmshelf::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const auto decoded = decode_put_meta(input);
  if (!decoded.ok()) return 0;
  const std::string again = encode_put_meta(*decoded);
  if (!std::ranges::equal(std::as_bytes(std::span(again)), input)) std::abort();
  return 0;
}
