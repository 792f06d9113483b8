// What decode_attributes accepts is exactly what encode_attributes makes.
#include <cstdlib>
#include <string_view>

#include "server/store/attributes.h"

using namespace pmshelf;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto attributes = store::decode_attributes(input);
  if (!attributes.ok()) return 0;
  const auto again = store::encode_attributes(*attributes);
  if (!again.ok() || *again != input) std::abort();
  return 0;
}
