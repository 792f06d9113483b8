// Handshake bytes and proofs: golden vectors from an independent HMAC, and what a proof binds.
#include "common/wire/handshake.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/wire/bytes.h"

namespace pmshelf::wire {
namespace {

template <size_t N>
std::array<std::byte, N> counting_from(unsigned first) {
  std::array<std::byte, N> bytes;
  for (size_t i = 0; i < N; ++i) bytes[i] = static_cast<std::byte>(first + i);
  return bytes;
}

Challenge golden_challenge() {
  return {.boot_epoch = 0x1122334455667788, .nonce = counting_from<16>(0x40)};
}

// Truncations, trailing bytes and reserved bits 2..7 are refused.
template <class Decode>
void expect_strict(const std::string& meta, Decode decode, bool has_version) {
  ASSERT_TRUE(decode(bytes_of(meta)).ok());
  for (size_t bytes = 0; bytes < meta.size(); ++bytes) {
    EXPECT_EQ(decode(bytes_of(meta).first(bytes)).code(), Code::kInvalidArgument) << bytes;
  }
  EXPECT_EQ(decode(bytes_of(meta + 'x')).code(), Code::kInvalidArgument);
  for (size_t at = 2; has_version && at < 8; ++at) {
    std::string bad = meta;
    bad[at] = 1;
    EXPECT_EQ(decode(bytes_of(bad)).code(), Code::kInvalidArgument) << at;
  }
}

TEST(Handshake_Challenge, MatchesTheGoldenVector) {
  const std::string meta = encode_challenge(golden_challenge());
  EXPECT_EQ(to_hex(meta), "01000000000000008877665544332211404142434445464748494a4b4c4d4e4f");
  const auto decoded = decode_challenge(bytes_of(meta));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->boot_epoch, golden_challenge().boot_epoch);
  EXPECT_EQ(decoded->nonce, golden_challenge().nonce);
  expect_strict(meta, decode_challenge, true);
}

TEST(Handshake_Hello, MatchesTheGoldenVector) {
  const Hello hello{.session = counting_from<16>(0x10),
                    .nonce = counting_from<16>(0x20),
                    .proof = counting_from<32>(0x30)};
  const std::string meta = encode_hello(hello);
  EXPECT_EQ(to_hex(meta),
            "0100000000000000101112131415161718191a1b1c1d1e1f"
            "202122232425262728292a2b2c2d2e2f"
            "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f");
  const auto decoded = decode_hello(bytes_of(meta));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->protocol_version, 1);
  EXPECT_EQ(decoded->session, hello.session);
  EXPECT_EQ(decoded->nonce, hello.nonce);
  EXPECT_EQ(decoded->proof, hello.proof);
  expect_strict(meta, decode_hello, true);
}

TEST(Handshake_HelloReply, MatchesTheGoldenVector) {
  const HelloReply reply{
      .proof = counting_from<32>(0), .payload_bytes_max = 0x800000, .in_flight_max = 128};
  const std::string meta = encode_hello_reply(reply);
  EXPECT_EQ(to_hex(meta),
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
            "0000800080000000");
  const auto decoded = decode_hello_reply(bytes_of(meta));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->proof, reply.proof);
  EXPECT_EQ(decoded->payload_bytes_max, reply.payload_bytes_max);
  EXPECT_EQ(decoded->in_flight_max, reply.in_flight_max);
  expect_strict(meta, decode_hello_reply, false);
}

TEST(Handshake_Version, OfTheFutureIsDecodedSoThatItCanBeAnswered) {
  std::string meta = encode_challenge(golden_challenge());
  meta[0] = 9;
  EXPECT_EQ(decode_challenge(bytes_of(meta))->protocol_version, 9);
}

TEST(Handshake_Proof, MatchesTheGoldenVectors) {
  const auto secret = counting_from<32>(0);
  const auto nonce = counting_from<16>(0x60);
  const auto session = counting_from<16>(0x80);
  EXPECT_EQ(to_hex(make_proof(secret, Side::kClient, golden_challenge(), nonce, session)),
            "c89947e9e96326b02a0015025d693c4a9151eea9c867f8717c97974506b00f7c");
  EXPECT_EQ(to_hex(make_proof(secret, Side::kServer, golden_challenge(), nonce, session)),
            "83f50c6aec15f9c7b06325863155564e56b8acbed7f8f531495d518072b13efb");
}

TEST(Handshake_Proof, DependsOnEveryBitOfEveryInput) {
  Secret secret = counting_from<32>(0);
  Challenge challenge = golden_challenge();
  Nonce nonce = counting_from<16>(0x60);
  SessionId session = counting_from<16>(0x80);
  const auto proof = [&] { return make_proof(secret, Side::kClient, challenge, nonce, session); };
  const Proof expected = proof();
  const auto flip_each_bit = [&](std::span<std::byte> bytes, const char* what) {
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      EXPECT_NE(proof(), expected) << what << " bit " << bit;
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    }
  };
  flip_each_bit(secret, "secret");
  flip_each_bit(challenge.nonce, "challenge nonce");
  flip_each_bit(std::as_writable_bytes(std::span(&challenge.boot_epoch, 1)), "boot epoch");
  flip_each_bit(nonce, "hello nonce");
  flip_each_bit(session, "session");
  EXPECT_EQ(proof(), expected);
}

TEST(Handshake_Compare, IsExact) {
  const Proof a = counting_from<32>(0);
  Proof b = a;
  EXPECT_TRUE(equal_constant_time(a, b));
  b[31] ^= std::byte{1};
  EXPECT_FALSE(equal_constant_time(a, b));
  EXPECT_FALSE(equal_constant_time(a, std::span(a).first(31)));
  EXPECT_TRUE(equal_constant_time({}, {}));
}

TEST(Handshake_Random, FillsEveryByteAndNeverRepeats) {
  Nonce first{}, second{};
  fill_random(first);
  fill_random(second);
  EXPECT_NE(first, second);
  std::vector<std::byte> large(100'000);  // getrandom may answer in parts
  fill_random(large);
  EXPECT_NE(to_hex(std::span(large).last(32)), std::string(64, '0'));
  fill_random({});
}

}  // namespace
}  // namespace pmshelf::wire
