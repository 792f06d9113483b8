// A client that sends what it likes: raw frames and bytes over a blocking socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/wire/frame.h"
#include "common/wire/handshake.h"
#include "tests/conformance/stream_world.h"

namespace pmshelf::transport {

struct RawFrame {
  wire::FrameHeader header;
  std::string meta;
  std::string payload;
};

using HeaderBytes = std::array<std::byte, wire::kFrameHeaderBytes>;
HeaderBytes header_bytes(const wire::FrameHeader& header);
// The header with one field overwritten and its CRC made right again.
template <class T>
HeaderBytes patched(const wire::FrameHeader& header, size_t at, T value);

// Everything fails with a test failure after ten seconds, so that nothing can hang.
class RawClient {
 public:
  explicit RawClient(StreamServer& server, StreamKind kind);

  void send(std::span<const std::byte> bytes);
  void send_text(const std::string& text) { send(std::as_bytes(std::span(text))); }
  void send_frame(wire::FrameHeader header, const std::string& meta = "",
                  const std::string& payload = "");
  // Bytes with descriptors beside them.
  void send_with_fds(std::span<const std::byte> bytes, std::span<const int> fds);
  // Nothing: the server has closed.
  std::optional<RawFrame> receive();
  bool is_closed() { return !receive().has_value(); }
  // Answers are not read: true when the server cuts the connection within ten seconds.
  bool is_cut_off();
  bool is_cut_off_now();
  UniqueFd take_fd() { return std::move(fd_); }

  // The challenge is received by the constructor.
  const wire::Challenge& challenge() const { return challenge_; }
  std::string hello_meta(const wire::SessionId& session, const wire::Secret& secret) const;
  // A right Hello, checked.
  void say_hello();

 private:
  bool receive_exactly(std::byte* data, size_t bytes);

  StreamServer& server_;
  UniqueFd socket_;
  UniqueFd fd_;  // the last that came along
  wire::Challenge challenge_;
};

}  // namespace pmshelf::transport
