// Data-plane handshake: proves that both ends know the session's data secret, without sending it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "pmshelf/result.h"

namespace pmshelf::wire {

using SessionId = std::array<std::byte, 16>;
using Secret = std::array<std::byte, 32>;
using Nonce = std::array<std::byte, 16>;
using Proof = std::array<std::byte, 32>;  // HMAC-SHA256

// server -> client. The nonce is fresh for each connection, which makes a proof single-use.
struct Challenge {
  uint16_t protocol_version = 1;
  uint64_t boot_epoch = 0;
  Nonce nonce{};
};
// client -> server.
struct Hello {
  uint16_t protocol_version = 1;
  SessionId session{};
  Nonce nonce{};
  Proof proof{};
};
// server -> client: the server knows the secret too, and these are its limits.
struct HelloReply {
  Proof proof{};
  uint32_t payload_bytes_max = 0;
  uint32_t in_flight_max = 0;  // requests a client may have unanswered on this connection
};

std::string encode_challenge(const Challenge& challenge);
Result<Challenge> decode_challenge(std::span<const std::byte> meta);
std::string encode_hello(const Hello& hello);
Result<Hello> decode_hello(std::span<const std::byte> meta);
std::string encode_hello_reply(const HelloReply& reply);
Result<HelloReply> decode_hello_reply(std::span<const std::byte> meta);

enum class Side : uint8_t { kClient = 1, kServer = 2 };
// HMAC-SHA256(secret, "pmshelf-data-1" | side | challenge nonce | hello nonce | session | epoch).
Proof make_proof(const Secret& secret, Side side, const Challenge& challenge,
                 const Nonce& hello_nonce, const SessionId& session);
bool equal_constant_time(std::span<const std::byte> a, std::span<const std::byte> b);
// Cryptographic randomness (getrandom). Aborts the process when the kernel has none.
void fill_random(std::span<std::byte> out);

}  // namespace pmshelf::wire
