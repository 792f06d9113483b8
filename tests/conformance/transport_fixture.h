// What the transport conformance tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <thread>

#include "common/base/check.h"
#include "tests/conformance/transport_worlds.h"

namespace pmshelf::transport {

using Bytes = std::vector<std::byte>;

inline Bytes pattern(size_t count, uint32_t seed) {
  Bytes bytes(count);
  std::minstd_rand random(seed + 1);
  for (std::byte& value : bytes) value = static_cast<std::byte>(random() >> 8);
  return bytes;
}

// Blocks as libpmshelf does: scope, submit, drive. Another thread may run the completion.
template <class Outcome, class Submit>
Outcome blocking(Channel& channel, Submit submit) {
  struct Answered {
    std::optional<Outcome> outcome;
    std::atomic<bool> done{false};
  };
  const auto answered = std::make_shared<Answered>();
  const DriveScope scope(channel);
  submit([answered](Outcome result) {
    PMSHELF_CHECK(!answered->outcome.has_value());
    answered->outcome.emplace(std::move(result));
    answered->done = true;
  });
  const Status driven = channel.drive_until([&] { return answered->done.load(); }, 20'000);
  PMSHELF_CHECK(driven.ok());
  return *std::move(answered->outcome);
}

inline Status do_read(Channel& channel, wire::GrantId grant, uint64_t offset,
                      std::span<std::byte> target) {
  return blocking<Status>(channel,
                          [&](auto done) { channel.read(grant, offset, target, std::move(done)); });
}
inline Status do_write(Channel& channel, wire::GrantId grant, uint64_t offset,
                       std::span<const std::byte> source,
                       Durability durability = Durability::kDurable) {
  return blocking<Status>(channel, [&](auto done) {
    channel.write(grant, offset, source, durability, std::move(done));
  });
}
inline Status do_flush(Channel& channel, wire::GrantId grant, uint64_t offset, uint64_t bytes) {
  return blocking<Status>(channel,
                          [&](auto done) { channel.flush(grant, offset, bytes, std::move(done)); });
}
inline Status do_write8(Channel& channel, wire::GrantId grant, uint64_t offset, uint64_t value) {
  return blocking<Status>(
      channel, [&](auto done) { channel.atomic_write8(grant, offset, value, std::move(done)); });
}
inline Status do_read_ranges(Channel& channel, wire::GrantId grant,
                             const std::vector<wire::Range>& ranges, std::span<std::byte> target) {
  return blocking<Status>(
      channel, [&](auto done) { channel.read_ranges(grant, ranges, target, std::move(done)); });
}
inline Status do_write_ranges(Channel& channel, wire::GrantId grant,
                              const std::vector<wire::Range>& ranges,
                              std::span<const std::byte> source) {
  return blocking<Status>(channel, [&](auto done) {
    channel.write_ranges(grant, ranges, source, Durability::kDurable, std::move(done));
  });
}
inline Status do_transact(Channel& channel, const wire::TransactMeta& meta,
                          std::span<const std::byte> source) {
  return blocking<Status>(channel,
                          [&](auto done) { channel.transact(meta, source, std::move(done)); });
}
inline Status do_put(Channel& channel, uint64_t shelf, const wire::PutMeta& meta, bool if_absent,
                     std::span<const std::byte> value) {
  return blocking<Status>(
      channel, [&](auto done) { channel.put(shelf, meta, if_absent, value, std::move(done)); });
}
inline Result<GetResult> do_get(Channel& channel, uint64_t shelf, std::string_view name,
                                std::span<std::byte> target) {
  return blocking<Result<GetResult>>(
      channel, [&](auto done) { channel.get(shelf, name, target, std::move(done)); });
}
inline Status do_ping(Channel& channel) {
  return blocking<Status>(channel, [&](auto done) { channel.ping(std::move(done)); });
}

inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

class TransportTest : public testing::TestWithParam<WorldKind> {
 protected:
  TransportTest() : world_(GetParam().make()) {}

  std::unique_ptr<Channel> connect() {
    auto channel = world_->connect();
    PMSHELF_CHECK(channel.ok());
    return *std::move(channel);
  }
  World& world() { return *world_; }

 private:
  std::unique_ptr<World> world_;
};

inline std::string world_name(const testing::TestParamInfo<WorldKind>& info) {
  return info.param.name;
}

}  // namespace pmshelf::transport
