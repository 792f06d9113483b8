// What goes into the queue comes out in order, whatever the socket takes at a time.
#include "common/transport/stream/send_queue.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <random>

namespace pmshelf::transport {
namespace {

// Takes so many bytes at a call as it is told, and remembers them.
class ScriptedStream final : public ByteStream {
 public:
  ScriptedStream() : ByteStream(UniqueFd()) {}
  IoResult handshake() override { return {IoResult::State::kMoved, 0}; }
  IoResult receive(std::span<const iovec>) override { return {IoResult::State::kEnded, 0}; }
  IoResult send(std::span<const iovec> sources, int pass_fd) override {
    if (takes.empty()) return {IoResult::State::kWantWrite, 0};
    size_t left = takes.front();
    takes.pop_front();
    if (left == 0) return {IoResult::State::kWantWrite, 0};
    if (pass_fd >= 0) fd_positions.push_back(sent.size());
    IoResult result{IoResult::State::kMoved, 0};
    for (const auto& [base, bytes] : sources) {
      const size_t part = std::min(left, bytes);
      sent.append(static_cast<const char*>(base), part);
      result.bytes += part;
      left -= part;
    }
    return result;
  }
  bool receives_into_pool_memory() const override { return false; }
  std::string error_text() const override { return ""; }

  std::deque<size_t> takes;
  std::string sent;
  std::vector<size_t> fd_positions;
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void append_copy(SendQueue& queue, const std::string& text) {
  std::memcpy(queue.append(text.size()), text.data(), text.size());
}

TEST(SendQueue_Flush, KeepsOrderOverEverySplit) {
  const std::string a = "copied", b = "referenced memory", c = "copied again", d = "the end";
  const std::string all = a + b + c + d;
  for (size_t first = 1; first <= all.size(); ++first) {
    SendQueue queue;
    std::vector<uint64_t> released;
    append_copy(queue, a);
    queue.append_reference(bytes_of(b), 7);
    append_copy(queue, c);
    queue.append_reference(bytes_of(d), 8);
    EXPECT_EQ(queue.bytes(), all.size());
    EXPECT_EQ(queue.copied_bytes(), a.size() + c.size());
    ScriptedStream stream;
    stream.takes = {first, 0, 1000, 1000};
    EXPECT_EQ(queue.flush(stream, &released).state,
              first == all.size() ? IoResult::State::kMoved : IoResult::State::kWantWrite);
    EXPECT_EQ(stream.sent, all.substr(0, first));
    const size_t expected = first < a.size() + b.size() ? 0 : first == all.size() ? 2 : 1;
    EXPECT_EQ(released.size(), expected) << first;
    EXPECT_EQ(queue.flush(stream, &released).state, IoResult::State::kMoved);
    EXPECT_EQ(stream.sent, all);
    EXPECT_EQ(released, (std::vector<uint64_t>{7, 8}));
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.copied_bytes(), 0u);
  }
}

TEST(SendQueue_Flush, RandomTrafficComesOutAsItWentIn) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  SendQueue queue;
  ScriptedStream stream;
  std::string expected;
  std::deque<std::string> referenced;  // stable addresses
  std::vector<uint64_t> released;
  uint64_t owners = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string piece(1 + random() % 300, static_cast<char>('a' + random() % 26));
    expected += piece;
    if (random() % 3 == 0) {
      referenced.push_back(std::move(piece));
      queue.append_reference(bytes_of(referenced.back()), owners++);
    } else {
      append_copy(queue, piece);
    }
    if (random() % 4 == 0) {
      stream.takes = {random() % 2000, random() % 500, 0};
      queue.flush(stream, &released);
    }
  }
  stream.takes.assign(10'000, 100'000);
  EXPECT_EQ(queue.flush(stream, &released).state, IoResult::State::kMoved);
  EXPECT_TRUE(stream.sent == expected);
  ASSERT_EQ(released.size(), owners);
  for (uint64_t i = 0; i < owners; ++i) EXPECT_EQ(released[i], i);
}

TEST(SendQueue_Append, TakenBackBytesAreNotSent) {
  SendQueue queue;
  append_copy(queue, "kept");
  append_copy(queue, "dropped");
  queue.take_back(7);
  ScriptedStream stream;
  stream.takes = {100};
  std::vector<uint64_t> released;
  queue.flush(stream, &released);
  EXPECT_EQ(stream.sent, "kept");
  append_copy(queue, "gone");
  queue.take_back(4);
  EXPECT_TRUE(queue.empty());
}

TEST(SendQueue_Fd, TravelsWithTheFirstByteOfItsFrame) {
  SendQueue queue;
  append_copy(queue, "before");
  queue.append_fd(UniqueFd(::dup(STDERR_FILENO)));
  append_copy(queue, "frame");
  append_copy(queue, "after");
  queue.append_fd(UniqueFd(::dup(STDERR_FILENO)));
  append_copy(queue, "second");
  ScriptedStream stream;
  stream.takes = {100, 2, 100, 100};
  std::vector<uint64_t> released;
  EXPECT_EQ(queue.flush(stream, &released).state, IoResult::State::kMoved);
  EXPECT_EQ(stream.sent, "beforeframeaftersecond");
  EXPECT_EQ(stream.fd_positions, (std::vector<size_t>{6, 16}));
}

TEST(SendQueue_Clear, GivesBackOwners) {
  SendQueue queue;
  const std::string text = "text";
  append_copy(queue, text);
  queue.append_reference(bytes_of(text), 3);
  std::vector<uint64_t> released;
  queue.clear(&released);
  EXPECT_EQ(released, std::vector<uint64_t>{3});
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace pmshelf::transport
