// One accepted connection: handshake, frames, requests, replies. Private to the stream library.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/transport/stream/byte_stream.h"
#include "common/transport/stream/send_queue.h"
#include "common/transport/stream/shared_ring.h"
#include "common/transport/stream_server.h"

namespace pmshelf::transport {

// What a connection is made from.
struct ConnectionParts {
  std::unique_ptr<ByteStream> stream;
  PeerInfo peer;
  StreamLimits limits;
  HandlerFactory factory;
  std::function<void()> on_closed;  // once, on the connection's thread
};

// Owner: itself, through what it waits for (readiness, timer, running operations); the listener
// holds a weak pointer. Threads: everything runs on the io_context's one thread, but drain(),
// cut() and notify(), which post to it, and an Operation's `done`, which may come from anywhere.
//
// Life: [TLS] -> challenge -> hello -> open -> closed. `ending_` within open: nothing more is read,
// what runs is finished and answered, then closed.
//
// Invariants:
// - A request is in flight from its header until its answer left, or was copied for sending;
//   at most in_flight_max of them, at most buffered_bytes_max + one answer copied. Beyond that
//   nothing is parsed, and so nothing is read.
// - Pool memory is accessed by the kernel or under a guard, never by plain code.
class StreamConnection final : public std::enable_shared_from_this<StreamConnection> {
 public:
  StreamConnection(asio::io_context& io, ConnectionParts parts);
  ~StreamConnection();

  void start();
  void drain();
  void cut(std::string reason);
  void notify(wire::NoticeKind kind, wire::GrantId grant);

 private:
  enum class Stage : uint8_t { kTls, kHello, kOpen, kClosed };

  // One request in flight. Slots are reused; their addresses are stable.
  struct Request {
    std::shared_ptr<StreamConnection> keep_alive;  // while the operation runs
    StreamConnection* connection = nullptr;
    uint32_t slot = 0;
    wire::FrameHeader header;
    std::unique_ptr<Operation> operation;  // null: refused, only answered
    Operation::Reply reply;
    uint64_t ring_position = 0;
    bool in_run = false;   // inside operation->run()
    bool replied = false;  // `reply` is set
  };

  // ---- connection.cc: life, readiness, time
  void pump();
  void schedule_pump();
  bool step();
  bool advance_tls();
  void wait_readable();
  void wait_writable();
  void flush();
  bool receive();
  bool parsing_stopped() const;
  void send_challenge();
  size_t make_receive_room();
  void arm_tick();
  void on_tick();
  void begin_ending();
  void violation(const std::string& what);
  void close(const std::string& reason);
  void close_if_finished();

  // ---- connection_frames.cc: from bytes to requests
  void parse();
  bool parse_frame();
  bool take_payload();
  size_t window_targets(std::span<iovec> targets) const;
  uint64_t advance_windows(uint64_t bytes, bool direct);
  void skip_full_windows();
  void on_hello_frame(const wire::FrameHeader& header, std::span<const std::byte> meta);
  void on_hello(const wire::FrameHeader& header, std::span<const std::byte> meta);
  void on_peer_token(const wire::FrameHeader& header);
  void end_with(const wire::FrameHeader& header, const Error& error);
  void on_request(const wire::FrameHeader& header, std::span<const std::byte> meta);
  Status admit(Request& request, std::span<const std::byte> meta);
  Status take_ring_position(Request& request, std::span<const std::byte>& meta);
  void refuse(Request& request, Error error);
  void run(Request& request);
  void on_done(Request& request, Operation::Reply reply);
  Request& acquire();
  void release(Request& request);

  // ---- connection_answers.cc: from replies to bytes
  void finish(Request& request);
  Status make_ring(Request& request);
  enum class Answer : uint8_t { kCopied, kReferenced };
  Result<Answer> append_answer(Request& request);
  Result<Answer> append_copied(const Request& request, const wire::FrameHeader& header);
  Result<Answer> append_referenced(const Request& request, const wire::FrameHeader& header);
  Status fill_ring(const Request& request, uint64_t payload_bytes);
  Status empty_ring(const Request& request);
  Status append_descriptor(int fd);
  void append_header(const wire::FrameHeader& header);
  void append_plain_answer(const wire::FrameHeader& request, Code code, std::string_view text);
  void append_error(const wire::FrameHeader& request, const Error& error);

  asio::io_context& io_;
  asio::posix::stream_descriptor descriptor_;  // readiness of stream_'s socket; does not own it
  asio::steady_timer timer_;
  std::unique_ptr<ByteStream> stream_;  // null once closed
  const PeerInfo peer_;
  const StreamLimits limits_;
  HandlerFactory factory_;
  std::function<void()> on_closed_;
  std::unique_ptr<ConnectionHandler> handler_;

  Stage stage_ = Stage::kTls;
  bool ending_ = false;
  bool readable_ = true;  // the socket may have bytes for us
  bool waiting_readable_ = false, waiting_writable_ = false;
  bool pumping_ = false, pump_scheduled_ = false;
  bool token_given_ = false;

  // Received and not parsed: [in_at_, in_end_) of in_.
  std::unique_ptr<std::byte[]> in_;
  size_t in_at_ = 0, in_end_ = 0;
  // The request whose payload is arriving, and where its next byte goes.
  Request* receiving_ = nullptr;
  size_t window_index_ = 0;
  uint64_t window_at_ = 0, payload_left_bytes_ = 0;

  std::deque<Request> requests_;
  std::vector<uint32_t> free_slots_;
  uint32_t in_flight_count_ = 0;
  SendQueue out_;
  std::vector<uint64_t> sent_;  // slots whose referenced answer has left
  SharedRing ring_;

  // Progress, judged once a tick: within progress_timeout_ms the frame (or the queue of answers)
  // must come to its end, or move kProgressBytesMin.
  struct Progress {
    uint64_t since_tick = 0;  // 0: nothing is under way
    uint64_t bytes = 0, item = 0;
  };
  bool is_overdue(Progress& progress, bool under_way, uint64_t bytes, uint64_t item) const;
  uint64_t tick_count_ = 0;
  uint64_t received_bytes_ = 0, sent_bytes_ = 0;
  uint64_t frame_count_ = 0, emptied_count_ = 0;
  Progress receive_progress_, send_progress_;
};

// A handler's way to its connection, which may be gone.
class StreamControl final : public ConnectionControl {
 public:
  explicit StreamControl(std::weak_ptr<StreamConnection> connection)
      : connection_(std::move(connection)) {}
  void notify(wire::NoticeKind kind, wire::GrantId grant) override {
    if (const auto connection = connection_.lock()) connection->notify(kind, grant);
  }
  void close(std::string reason) override {
    if (const auto connection = connection_.lock()) connection->cut(std::move(reason));
  }

 private:
  const std::weak_ptr<StreamConnection> connection_;
};

}  // namespace pmshelf::transport
