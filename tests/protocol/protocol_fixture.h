// What the protocol tests share: a server, raw clients, and proof that it still serves others.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "common/transport/local/local_channel.h"
#include "common/transport/tcp/tcp_channel.h"
#include "tests/protocol/raw_client.h"

namespace pmshelf::transport {

inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

inline wire::FrameHeader request(wire::Op op, uint64_t tag = 1) {
  wire::FrameHeader header;
  header.op = op;
  header.tag = tag;
  return header;
}

// A server of each stream kind that raw bytes can reach.
class ProtocolTest : public testing::TestWithParam<StreamKind> {
 protected:
  explicit ProtocolTest(StreamLimits limits = {}) : server_(GetParam(), limits) {}
  ~ProtocolTest() override {
    // Whatever happened: a new client is served, and nothing is left of the others.
    client().say_hello();
    EXPECT_TRUE(eventually([&] { return service().handler_count() == 0; }));
    EXPECT_EQ(service().operation_count(), 0u);
    EXPECT_EQ(server_.listener().connection_count(), 0u);
  }

  RawClient client() { return RawClient(server_, GetParam()); }
  RawClient open_client() {
    RawClient result(server_, GetParam());
    result.say_hello();
    return result;
  }
  MemoryService& service() { return server_.service(); }
  StreamServer& server() { return server_; }

  // Sent after Hello, it ends the connection, and no other.
  void expect_closes(std::span<const std::byte> bytes) {
    RawClient bystander = open_client();
    RawClient attacker = open_client();
    attacker.send(bytes);
    EXPECT_TRUE(attacker.is_closed());
    bystander.send_frame(request(wire::Op::kPing, 5));
    const auto answer = bystander.receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->header.tag, 5u);
  }
  // Sent after Hello, it is answered with `code`, and the connection lives on.
  void expect_answer(RawClient& client, wire::FrameHeader header, const std::string& meta,
                     const std::string& payload, Code code) {
    client.send_frame(header, meta, payload);
    const auto answer = client.receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->header.tag, header.tag);
    EXPECT_EQ(static_cast<Code>(answer->header.status), code)
        << answer->meta << ", expected " << code_name(code);
    EXPECT_EQ(answer->header.flags & wire::kFlagReply, wire::kFlagReply);
    if (code != Code::kOk) {
      EXPECT_FALSE(answer->meta.empty());
      EXPECT_EQ(answer->header.payload_bytes, 0u);
    }
    client.send_frame(request(wire::Op::kPing, 99));
    const auto ping = client.receive();
    ASSERT_TRUE(ping.has_value());
    EXPECT_EQ(ping->header.tag, 99u);
  }

 private:
  StreamServer server_;
};

inline std::string kind_name(const testing::TestParamInfo<StreamKind>& info) {
  return info.param == StreamKind::kUnix ? "Unix" : "Tcp";
}

}  // namespace pmshelf::transport
