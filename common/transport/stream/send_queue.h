// Bytes on their way to one socket: copied ones, and memory that is sent in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/transport/stream/byte_stream.h"

namespace pmshelf::transport {

// A first-in, first-out queue, sent with as few system calls as possible. Owner: a connection or
// channel, which also bounds it: by copied_bytes() and by the number of requests.
// Thread-compatible.
class SendQueue {
 public:
  static constexpr uint64_t kNoOwner = UINT64_MAX;

  bool empty() const { return total_bytes_ == 0; }
  size_t bytes() const { return total_bytes_; }
  // Not sent yet and held here; the rest is referenced.
  size_t copied_bytes() const { return copied_bytes_; }

  // Room for `bytes` at the end of the queue, to be filled before the next call.
  std::byte* append(size_t bytes);
  // Takes back the last `bytes` of what append() gave, which was the last thing appended.
  void take_back(size_t bytes);
  void append_text(std::string_view text);
  // Memory that stays valid until flush() reports `owner` (kNoOwner: is not reported).
  void append_reference(std::span<const std::byte> memory, uint64_t owner);
  // Travels with the first byte of what is appended next.
  void append_fd(UniqueFd fd);

  // Sends until all is gone or the socket takes no more (kWantRead, kWantWrite), the connection
  // fails, or referenced memory cannot be accessed. kMoved: empty now. Owners whose last byte
  // left are added to `released`, which may be null when there are none.
  IoResult flush(ByteStream& stream, std::vector<uint64_t>* released);
  // Drops everything; owners are added to `released`.
  void clear(std::vector<uint64_t>* released);

 private:
  struct Piece {
    const std::byte* memory = nullptr;  // null: the next bytes of copied_
    size_t bytes = 0;
    uint64_t owner = kNoOwner;
    UniqueFd fd;
  };
  // Copied bytes that were not sent: [copied_at_, copied_end_) of a block that grows.
  std::unique_ptr<std::byte[]> copied_;
  size_t capacity_bytes_ = 0, copied_at_ = 0, copied_end_ = 0;
  std::deque<Piece> pieces_;
  size_t total_bytes_ = 0, copied_bytes_ = 0;
  UniqueFd next_fd_;

  void make_room(size_t bytes);
  void consume(size_t bytes, std::vector<uint64_t>* released);
};

}  // namespace pmshelf::transport
