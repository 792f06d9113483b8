// What decode_operation accepts is exactly what append_operation makes.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "server/store/operations.h"

using namespace pmshelf;
using namespace pmshelf::store;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto rest = std::as_bytes(std::span(data, size));
  while (!rest.empty()) {
    uint32_t bytes = 0;
    const auto operation = decode_operation(rest, bytes);
    if (!operation.ok()) return 0;
    OpBuffer again;
    std::visit([&](const auto& body) { append_operation(again, operation->request, body); },
               operation->body);
    if (!std::ranges::equal(again, rest.first(bytes))) std::abort();
    rest = rest.subspan(bytes);
  }
  return 0;
}
