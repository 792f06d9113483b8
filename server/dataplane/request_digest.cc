#include "server/dataplane/request_digest.h"

#define XXH_STATIC_LINKING_ONLY  // state on the stack
#include <xxhash.h>

#include <algorithm>
#include <array>

#include "common/base/endian.h"

namespace pmshelf::dataplane {
namespace {

class Digest {
 public:
  Digest() { XXH3_64bits_reset(&state_); }
  void add(const void* data, size_t bytes) { XXH3_64bits_update(&state_, data, bytes); }
  void add_number(uint64_t value) {
    std::array<std::byte, sizeof value> encoded{};
    store_le(encoded.data(), value);
    add(encoded.data(), encoded.size());
  }
  uint64_t value() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
};

void add_body(Digest& digest, const PutBody& body, uint64_t value_bytes) {
  digest.add_number(static_cast<uint64_t>(wire::Op::kPut));
  digest.add_number(body.if_absent ? 1 : 0);
  digest.add_number(body.name.size());
  digest.add_number(body.attributes.size());
  digest.add_number(value_bytes);
  digest.add(body.name.data(), body.name.size());
  digest.add(body.attributes.data(), body.attributes.size());
}

}  // namespace

uint64_t transact_digest(std::span<const store::WriteRange> writes) {
  Digest digest;
  digest.add_number(static_cast<uint64_t>(wire::Op::kTransact));
  digest.add_number(writes.size());
  for (const store::WriteRange& write : writes) {
    digest.add_number(write.region);
    digest.add_number(write.offset);
    digest.add_number(write.bytes.size());
  }
  for (const store::WriteRange& write : writes) digest.add(write.bytes.data(), write.bytes.size());
  return digest.value();
}

Result<uint64_t> put_digest(const PutBody& body, const pool::RegionRef& value) {
  Digest digest;
  add_body(digest, body, value.bytes());
  std::array<std::byte, 4096> chunk;
  const uint64_t total_bytes = std::min(value.bytes(), kDigestValueBytesMax);
  for (uint64_t offset = 0; offset < total_bytes; offset += chunk.size()) {
    const size_t bytes = std::min<uint64_t>(chunk.size(), total_bytes - offset);
    PMSHELF_TRY(value.read(offset, std::span(chunk).first(bytes)));
    digest.add(chunk.data(), bytes);
  }
  return digest.value();
}

uint64_t put_digest(const PutBody& body, std::span<const std::byte> value) {
  Digest digest;
  add_body(digest, body, value.size());
  digest.add(value.data(), std::min<uint64_t>(value.size(), kDigestValueBytesMax));
  return digest.value();
}

}  // namespace pmshelf::dataplane
