// What the handshake decoders accept is exactly what the encoders make.
#include <algorithm>
#include <cstdlib>

#include "common/wire/handshake.h"

using namespace pmshelf::wire;

template <class Decode, class Encode>
static void check(std::span<const std::byte> input, Decode decode, Encode encode) {
  const auto decoded = decode(input);
  if (!decoded.ok()) return;
  const std::string again = encode(*decoded);
  if (!std::ranges::equal(std::as_bytes(std::span(again)), input)) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  check(input, decode_challenge, encode_challenge);
  check(input, decode_hello, encode_hello);
  check(input, decode_hello_reply, encode_hello_reply);
  return 0;
}
