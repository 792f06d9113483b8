#include "common/wire/handshake.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "common/base/check.h"
#include "common/base/endian.h"
#include "common/wire/writer.h"

namespace pmshelf::wire {
namespace {

constexpr size_t kChallengeBytes = 32;
constexpr size_t kHelloBytes = 72;
constexpr size_t kHelloReplyBytes = 40;
constexpr std::string_view kProofLabel = "pmshelf-data-1";

Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

// version u16, reserved u16, reserved u32: the head of Challenge and Hello. Another version is
// not refused here: whoever answers can then say which one it speaks.
void put_version(uint16_t version, Writer* out) {
  out->put<uint16_t>(version);
  out->put<uint16_t>(0);
  out->put<uint32_t>(0);
}

Result<uint16_t> decode_version(std::span<const std::byte> meta, size_t bytes,
                                std::string_view what) {
  if (meta.size() != bytes) return invalid(std::string(what) + ": meta_bytes is wrong");
  if (load_le<uint16_t>(meta.data() + 2) != 0 || load_le<uint32_t>(meta.data() + 4) != 0) {
    return invalid(std::string(what) + ": reserved bits are set");
  }
  return load_le<uint16_t>(meta.data());
}

template <size_t N>
std::array<std::byte, N> load_array(const std::byte* at) {
  std::array<std::byte, N> result;
  std::copy_n(at, N, result.begin());
  return result;
}

}  // namespace

std::string encode_challenge(const Challenge& challenge) {
  Writer out(kChallengeBytes);
  put_version(challenge.protocol_version, &out);
  out.put<uint64_t>(challenge.boot_epoch);
  out.put_bytes(challenge.nonce);
  return std::move(out).take();
}

Result<Challenge> decode_challenge(std::span<const std::byte> meta) {
  Challenge result;
  PMSHELF_TRY_ASSIGN(result.protocol_version, decode_version(meta, kChallengeBytes, "challenge"));
  result.boot_epoch = load_le<uint64_t>(meta.data() + 8);
  result.nonce = load_array<16>(meta.data() + 16);
  return result;
}

std::string encode_hello(const Hello& hello) {
  Writer out(kHelloBytes);
  put_version(hello.protocol_version, &out);
  out.put_bytes(hello.session);
  out.put_bytes(hello.nonce);
  out.put_bytes(hello.proof);
  return std::move(out).take();
}

Result<Hello> decode_hello(std::span<const std::byte> meta) {
  Hello result;
  PMSHELF_TRY_ASSIGN(result.protocol_version, decode_version(meta, kHelloBytes, "hello"));
  result.session = load_array<16>(meta.data() + 8);
  result.nonce = load_array<16>(meta.data() + 24);
  result.proof = load_array<32>(meta.data() + 40);
  return result;
}

std::string encode_hello_reply(const HelloReply& reply) {
  Writer out(kHelloReplyBytes);
  out.put_bytes(reply.proof);
  out.put<uint32_t>(reply.payload_bytes_max);
  out.put<uint32_t>(reply.in_flight_max);
  return std::move(out).take();
}

Result<HelloReply> decode_hello_reply(std::span<const std::byte> meta) {
  if (meta.size() != kHelloReplyBytes) return invalid("hello reply: meta_bytes is wrong");
  HelloReply result;
  result.proof = load_array<32>(meta.data());
  result.payload_bytes_max = load_le<uint32_t>(meta.data() + 32);
  result.in_flight_max = load_le<uint32_t>(meta.data() + 36);
  return result;
}

Proof make_proof(const Secret& secret, Side side, const Challenge& challenge,
                 const Nonce& hello_nonce, const SessionId& session) {
  Writer text(kProofLabel.size() + 1 + 16 + 16 + 16 + 8);
  text.put_text(kProofLabel);
  text.put<uint8_t>(static_cast<uint8_t>(side));
  text.put_bytes(challenge.nonce);
  text.put_bytes(hello_nonce);
  text.put_bytes(session);
  text.put<uint64_t>(challenge.boot_epoch);
  const std::string message = std::move(text).take();
  Proof proof{};
  unsigned int proof_bytes = 0;
  const auto* result = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                            reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                            reinterpret_cast<unsigned char*>(proof.data()), &proof_bytes);
  PMSHELF_CHECK(result != nullptr && proof_bytes == proof.size());
  return proof;
}

bool equal_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void fill_random(std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t count = ::getrandom(out.data(), out.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    PMSHELF_CHECK(count > 0);
    out = out.subspan(static_cast<size_t>(count));
  }
}

}  // namespace pmshelf::wire
