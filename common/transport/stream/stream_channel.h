// The client's engine of the stream transports: one connection, many requests, no thread of its
// own unless nobody else drives. Private to common/transport; connect_tcp and connect_local make
// it.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "common/transport/channel.h"
#include "common/transport/stream/byte_stream.h"
#include "common/transport/stream/limits.h"
#include "common/transport/stream/ring_space.h"
#include "common/transport/stream/send_queue.h"
#include "common/transport/stream/shared_ring.h"

namespace pmshelf::transport {

// A connection whose handshake is over.
struct StreamChannelParts {
  std::unique_ptr<ByteStream> stream;
  std::string_view path;  // a literal
  Capabilities capabilities;
  SharedRing ring;  // may be none
};

// One mutex over all state. Sending happens under it (it never blocks); receiving does not: the
// thread that holds the reader role, one at a time, receives into the buffer and into targets
// without the mutex, and runs completions without it.
//
// Who reads: a thread in drive_until; else, when something is in flight and no DriveScope is open,
// the channel's own thread, which is started the first time that it is needed. A thread in
// drive_until waits in recv() itself where the stream allows it (one system call less a request);
// nothing but bytes ends that, so that the own thread then takes what else comes up: completions of
// requests that failed at once, and bytes that the socket did not take.
//
// Invariants:
// - A target or source is touched only before its completion was taken for running.
// - Only the reader, or close() when there is no reader, takes requests in flight out of the table.
class StreamChannel final : public Channel {
 public:
  static Result<std::unique_ptr<Channel>> make(StreamChannelParts parts);
  explicit StreamChannel(StreamChannelParts parts, UniqueFd wake_fd);
  ~StreamChannel() override;

  const Capabilities& capabilities() const override { return capabilities_; }
  std::string_view path() const override { return path_; }
  bool connected() const override;
  void read(wire::GrantId grant, uint64_t offset, std::span<std::byte> target, Done done) override;
  void write(wire::GrantId grant, uint64_t offset, std::span<const std::byte> source,
             Durability durability, Done done) override;
  void flush(wire::GrantId grant, uint64_t offset, uint64_t bytes, Done done) override;
  void atomic_write8(wire::GrantId grant, uint64_t offset, uint64_t value, Done done) override;
  void read_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                   std::span<std::byte> target, Done done) override;
  void write_ranges(wire::GrantId grant, std::span<const wire::Range> ranges,
                    std::span<const std::byte> source, Durability durability, Done done) override;
  void transact(const wire::TransactMeta& meta, std::span<const std::byte> source,
                Done done) override;
  void put(uint64_t shelf_handle, const wire::PutMeta& meta, bool if_absent,
           std::span<const std::byte> value, Done done) override;
  void get(uint64_t shelf_handle, std::string_view name, std::span<std::byte> target,
           GetDone done) override;
  void ping(Done done) override;
  Result<MappedRange> map(wire::GrantId grant) override;
  Status drive_until(const std::function<bool()>& finished, uint64_t deadline_ms) override;
  void close() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  // What map() needs of an answer.
  struct MapAnswer {
    uint64_t offset = 0, length = 0;
    UniqueFd fd;
  };
  using MapDone = std::function<void(Result<MapAnswer>)>;
  using AnyDone = std::variant<Done, GetDone, MapDone>;

  // A request that was submitted and not yet sent.
  struct Submission {
    wire::FrameHeader header;  // tag and byte counts are set when it is sent
    std::string meta;
    std::span<const std::byte> source;
    std::span<std::byte> target;
    AnyDone done;
  };
  // A request in flight. Slots are reused; the tag names slot and generation.
  struct Pending {
    bool active = false;
    bool answered = false;  // `outcome` is final; waits until the request is sent
    uint32_t generation = 0;
    wire::Op op = wire::Op::kPing;
    std::span<std::byte> target;
    AnyDone done;
    uint64_t begin_sent = 0, end_sent = 0;  // its bytes in the count of all bytes queued
    bool in_ring = false;
    uint64_t ring_position = 0, ring_bytes = 0;
    Status outcome;
    GetResult get;
    MapAnswer map;
  };
  // Something to run without the mutex.
  struct Completion {
    AnyDone done;
    Status outcome;
    GetResult get;
    MapAnswer map;
  };
  struct Notice {
    wire::NoticeKind kind;
    wire::GrantId grant;
  };
  struct Link;
  struct Mapping;

  void enter_drive_scope() override;
  void leave_drive_scope() override;

  // ---- stream_channel.cc: submitting
  Submission submission(wire::Op op, wire::GrantId grant, AnyDone done) const;
  void submit(Submission submission);
  Status check(const Submission& submission) const;
  void submit_ranges(Submission submission, std::span<const wire::Range> ranges,
                     uint64_t buffer_bytes);
  void fail(AnyDone done, Error error);
  void send_next(Lock& lock);
  void dispatch(Submission submission);
  uint32_t acquire_slot();
  void use_ring(Submission& submission, Pending& pending);
  void after_submit(Lock& lock);
  void send_gathered();
  void flush_out();

  // ---- stream_channel_drive.cc: receiving and completing
  bool has_work() const;
  bool is_completing() const;
  bool has_side_work() const;
  void do_side_work(Lock& lock);
  void wake_background();
  void run_background();
  void kick();
  void wait_for_reader(Lock& lock, uint64_t seen, std::chrono::milliseconds left);
  enum class Driver : uint8_t { kCaller, kOwnThread };
  void drive_once(Lock& lock, int timeout_ms, Driver driver);
  bool wait_ready(Lock& lock, int timeout_ms);
  void run_ready(Lock& lock);

  // ---- stream_channel_answers.cc: from bytes to completions
  void receive(Lock& lock, bool waits);
  void parse();
  bool parse_frame();
  bool take_payload();
  Status begin_answer(const wire::FrameHeader& header, std::span<const std::byte> meta);
  Status begin_ok_answer(Pending& pending, const wire::FrameHeader& header,
                         std::span<const std::byte> meta);
  void end_answer(uint32_t slot);
  void complete(uint32_t slot);
  void complete_sent();
  void break_with(Error error);
  void fail_all();
  Error lost_error(const Pending& pending) const;
  void run(Completion completion) const;

  // ---- stream_channel_map.cc
  Result<MapAnswer> ask_map(wire::GrantId grant);
  void background_starts_for_notices();
  void unmapped(wire::GrantId grant);

  const Capabilities capabilities_;
  const std::string_view path_;
  const std::unique_ptr<ByteStream> stream_;
  const bool may_wait_;
  const UniqueFd wake_fd_;  // eventfd: ends the reader's wait

  mutable std::mutex mutex_;
  // ---- requests
  std::vector<Pending> pending_;
  std::vector<uint32_t> free_slots_;
  uint32_t in_flight_count_ = 0;
  std::deque<Submission> queued_;
  std::vector<uint32_t> answered_unsent_;
  std::vector<Completion> ready_;
  std::vector<Completion> spare_;  // empty; keeps the memory of an earlier ready_
  std::vector<Notice> notices_;
  SendQueue out_;
  uint64_t queued_bytes_ = 0, sent_bytes_ = 0;  // ever
  SharedRing ring_;
  RingSpace ring_space_;
  // ---- connection
  bool broken_ = false;       // nothing moves any more; error_ says why
  bool send_failed_ = false;  // nothing is sent any more; what comes in is still read
  Error error_{Code::kUnavailable, "closed"};
  // ---- roles
  bool reader_active_ = false;
  bool reader_polling_ = false, reader_polls_out_ = false;
  bool reader_waits_ = false;  // in recv(): a kick does not reach it
  uint32_t runner_count_ = 0;  // threads in completions
  uint32_t scope_count_ = 0, driver_count_ = 0, waiter_count_ = 0;
  uint64_t epoch_ = 0;  // rises when completions ran or the reader role became free
  std::condition_variable changed_;
  std::thread background_;
  std::condition_variable background_wake_;
  bool background_idle_ = false, background_reads_ = false, stopping_ = false;
  // ---- mappings
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> mapped_;  // grant -> map() results alive
  std::shared_ptr<Link> link_;

  // ---- the reader's own, without the mutex
  std::array<std::byte, kReceiveBufferBytes> in_;
  size_t in_at_ = 0, in_end_ = 0;
  bool maybe_more_ = false;  // the last receive filled all it was given
  static constexpr uint32_t kNoSlot = UINT32_MAX;
  uint32_t receiving_slot_ = kNoSlot;
  std::byte* payload_at_ = nullptr;
  uint64_t payload_left_bytes_ = 0;
};

}  // namespace pmshelf::transport
