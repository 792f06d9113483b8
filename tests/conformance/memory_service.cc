#include "tests/conformance/memory_service.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/media/guard.h"

namespace pmshelf::transport {
namespace {

using wire::FrameHeader;
using wire::Op;

constexpr uint64_t kFileBytes = 256 * kMiB;
constexpr uint64_t kPageBytes = 4096;

template <class Array>
Array random_array() {
  Array result;
  wire::fill_random(result);
  return result;
}

Error error_of(Code code, std::string message) { return {code, std::move(message)}; }

}  // namespace

// An operation is its windows and what happens once the payload is in place.
class MemoryOperation final : public Operation {
 public:
  MemoryOperation(MemoryService& service, Op op) : service_(service), op_(op) {
    ++service_.operation_count_;
  }
  ~MemoryOperation() override { --service_.operation_count_; }

  std::span<const Window> windows() const override { return targets; }
  void run(std::function<void(Reply)> done) override {
    Reply reply = action ? action() : Reply{};
    reply.fd = fd.get();
    auto finish = [done = std::move(done), reply = std::move(reply)] { done(reply); };
    const bool held = service_.hold_flushes && op_ == Op::kFlush;
    if (held || (service_.hold && op_ != Op::kPing)) {
      const std::lock_guard lock(service_.mutex_);
      service_.held_.push_back(std::move(finish));
    } else if (service_.finish_elsewhere) {
      service_.later(std::move(finish));
    } else {
      finish();
    }
  }

  std::vector<Window> targets;
  std::function<Reply()> action;
  UniqueFd fd;

 private:
  MemoryService& service_;
  const Op op_;
};

class MemoryHandler final : public ConnectionHandler {
 public:
  MemoryHandler(MemoryService& service, PeerInfo peer, std::shared_ptr<ConnectionControl> control)
      : service_(service), peer_(std::move(peer)), control_(std::move(control)) {
    ++service_.handler_count_;
    challenge_.boot_epoch = 7;
    wire::fill_random(challenge_.nonce);
  }
  ~MemoryHandler() override { --service_.handler_count_; }

  wire::Challenge challenge() override { return challenge_; }
  Result<wire::HelloReply> hello(const wire::Hello& hello) override;
  Result<std::string> peer_token() override {
    return "token of uid " + std::to_string(peer_.uid) + " pid " + std::to_string(peer_.pid);
  }
  Result<std::unique_ptr<Operation>> begin(const FrameHeader& header,
                                           std::span<const std::byte> meta) override;
  void disconnected() override {
    const std::lock_guard lock(service_.mutex_);
    service_.controls_.erase(control_);
    for (const auto& key : mapped_) service_.mapped_.erase(key);
  }

 private:
  using Made = std::unique_ptr<MemoryOperation>;
  Status prepare(MemoryOperation& operation, const FrameHeader& header,
                 std::span<const std::byte> meta);
  Status prepare_ranges(MemoryOperation& operation, const FrameHeader& header,
                        std::span<const std::byte> meta, uint8_t right);
  Status prepare_transact(MemoryOperation& operation, std::span<const std::byte> meta);
  Status prepare_put(MemoryOperation& operation, const FrameHeader& header,
                     std::span<const std::byte> meta);
  Status prepare_get(MemoryOperation& operation, const FrameHeader& header,
                     std::span<const std::byte> meta);
  Status prepare_map(MemoryOperation& operation, const FrameHeader& header);

  MemoryService& service_;
  const PeerInfo peer_;
  const std::shared_ptr<ConnectionControl> control_;
  wire::Challenge challenge_;
  std::set<std::pair<uint64_t, uint64_t>> mapped_;
};

Result<wire::HelloReply> MemoryHandler::hello(const wire::Hello& hello) {
  if (service_.refuse_hello) return error_of(Code::kSessionExpired, "the session is over");
  const auto& secret = service_.secret_;
  const auto expected =
      wire::make_proof(secret, wire::Side::kClient, challenge_, hello.nonce, hello.session);
  if (hello.session != service_.session_ || !wire::equal_constant_time(expected, hello.proof)) {
    return error_of(Code::kUnauthenticated, "the proof is wrong");
  }
  wire::HelloReply reply;
  const auto side = service_.lie_in_proof ? wire::Side::kClient : wire::Side::kServer;
  reply.proof = wire::make_proof(secret, side, challenge_, hello.nonce, hello.session);
  reply.payload_bytes_max = wire::kFramePayloadBytesMax;
  reply.in_flight_max = service_.in_flight_max;
  const std::lock_guard lock(service_.mutex_);
  service_.controls_.insert(control_);
  return reply;
}

Result<std::unique_ptr<Operation>> MemoryHandler::begin(const FrameHeader& header,
                                                        std::span<const std::byte> meta) {
  const uint64_t count = ++service_.begun_count_;
  if (count == service_.close_at) {
    control_->close("asked to by the test");
  }
  auto operation = std::make_unique<MemoryOperation>(service_, header.op);
  PMSHELF_TRY(prepare(*operation, header, meta));
  return std::unique_ptr<Operation>(std::move(operation));
}

Status MemoryHandler::prepare(MemoryOperation& operation, const FrameHeader& header,
                              std::span<const std::byte> meta) {
  switch (header.op) {
    case Op::kPing:
      return {};
    case Op::kRing:
      if (!service_.allow_ring) return error_of(Code::kUnsupported, "no ring here");
      return {};
    case Op::kRead: {
      PMSHELF_TRY_ASSIGN(const Window window,
                         service_.reach(header.grant, kTestRead, header.offset, header.length));
      operation.targets = {window};
      return {};
    }
    case Op::kWrite: {
      PMSHELF_TRY_ASSIGN(const Window window, service_.reach(header.grant, kTestWrite,
                                                             header.offset, header.payload_bytes));
      operation.targets = {window};
      return {};
    }
    case Op::kFlush: {
      PMSHELF_TRY(service_.reach(header.grant, kTestWrite, header.offset, header.length));
      return {};
    }
    case Op::kAtomicWrite8: {
      if (header.offset % 8 != 0) return error_of(Code::kInvalidArgument, "offset: not aligned");
      PMSHELF_TRY_ASSIGN(const Window window,
                         service_.reach(header.grant, kTestWrite, header.offset, 8));
      operation.action = [window, value = header.length] {
        Operation::Reply reply;
        if (!media::guarded_store8(window.data, value)) {
          reply.status = error_of(Code::kIo, "memory is gone");
        }
        return reply;
      };
      return {};
    }
    case Op::kReadRanges:
      return prepare_ranges(operation, header, meta, kTestRead);
    case Op::kWriteRanges:
      return prepare_ranges(operation, header, meta, kTestWrite);
    case Op::kTransact:
      return prepare_transact(operation, meta);
    case Op::kPut:
      return prepare_put(operation, header, meta);
    case Op::kGet:
      return prepare_get(operation, header, meta);
    case Op::kMap:
      return prepare_map(operation, header);
    case Op::kUnmap: {
      const std::lock_guard lock(service_.mutex_);
      service_.mapped_.erase({header.grant.high, header.grant.low});
      mapped_.erase({header.grant.high, header.grant.low});
      return {};
    }
    default:
      return error_of(Code::kUnsupported, "op");
  }
}

Status MemoryHandler::prepare_ranges(MemoryOperation& operation, const FrameHeader& header,
                                     std::span<const std::byte> meta, uint8_t right) {
  PMSHELF_TRY_ASSIGN(const auto ranges, wire::decode_ranges(meta));
  for (const auto& [offset, length] : ranges) {
    PMSHELF_TRY_ASSIGN(const Window window, service_.reach(header.grant, right, offset, length));
    operation.targets.push_back(window);
  }
  return {};
}

// Nothing is moved into the regions before all of the payload is there.
Status MemoryHandler::prepare_transact(MemoryOperation& operation,
                                       std::span<const std::byte> meta) {
  PMSHELF_TRY_ASSIGN(const auto transaction, wire::decode_transact_meta(meta));
  std::vector<Window> windows;
  uint64_t total_bytes = 0;
  for (const auto& [grant, range] : transaction.ranges) {
    PMSHELF_TRY_ASSIGN(const Window window,
                       service_.reach(grant, kTestWrite, range.offset, range.length));
    windows.push_back(window);
    total_bytes += window.bytes;
  }
  auto staged = std::make_shared<std::vector<std::byte>>(total_bytes);
  operation.targets = {{staged->data(), staged->size()}};
  operation.action = [staged, windows] {
    const std::byte* at = staged->data();
    for (const Window& window : windows) {
      if (window.bytes > 0) std::memcpy(window.data, at, window.bytes);
      at += window.bytes;
    }
    return Operation::Reply{};
  };
  return {};
}

Status MemoryHandler::prepare_put(MemoryOperation& operation, const FrameHeader& header,
                                  std::span<const std::byte> meta) {
  PMSHELF_TRY_ASSIGN(const auto put, wire::decode_put_meta(meta));
  MemoryService::Value value;
  value.bytes = std::make_shared<std::vector<std::byte>>(header.payload_bytes);
  value.attributes = put.attributes;
  operation.targets = {{value.bytes->data(), value.bytes->size()}};
  const bool if_absent = (header.flags & wire::kFlagIfAbsent) != 0;
  operation.action = [this, shelf = header.grant.low, name = std::string(put.name), value,
                      if_absent]() mutable {
    Operation::Reply reply;
    const std::lock_guard lock(service_.mutex_);
    auto found = service_.shelves_.find(shelf);
    if (found == service_.shelves_.end()) {
      reply.status = error_of(Code::kNotFound, "no such shelf");
    } else if (if_absent && found->second.contains(name)) {
      reply.status = error_of(Code::kAlreadyExists, "region '" + name + "' exists");
    } else {
      value.id = service_.next_id_++;
      reply.header.offset = value.id;
      found->second[name] = value;
    }
    return reply;
  };
  return {};
}

Status MemoryHandler::prepare_get(MemoryOperation& operation, const FrameHeader& header,
                                  std::span<const std::byte> meta) {
  const std::string name(reinterpret_cast<const char*>(meta.data()), meta.size());
  const std::lock_guard lock(service_.mutex_);
  const auto shelf = service_.shelves_.find(header.grant.low);
  if (shelf == service_.shelves_.end()) return error_of(Code::kNotFound, "no such shelf");
  const auto found = shelf->second.find(name);
  if (found == shelf->second.end()) return error_of(Code::kNotFound, "no region '" + name + "'");
  const MemoryService::Value value = found->second;
  operation.targets = {
      {value.bytes->data(), std::min<uint64_t>(value.bytes->size(), header.length)}};
  operation.action = [value] {
    Operation::Reply reply;
    reply.meta = wire::encode_get_meta({value.id, value.bytes->size(), value.attributes});
    return reply;
  };
  return {};
}

Status MemoryHandler::prepare_map(MemoryOperation& operation, const FrameHeader& header) {
  PMSHELF_TRY(service_.reach(header.grant, kTestRead, 0, 0));
  using MapFd = MemoryService::MapFd;
  const std::lock_guard lock(service_.mutex_);
  const auto& region = service_.regions_.at({header.grant.high, header.grant.low});
  const std::string self = "/proc/self/fd/" + std::to_string(service_.fd_.get());
  const bool writable = (region.rights & kTestWrite) != 0;
  operation.fd.reset(::open(self.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (service_.map_fd == MapFd::kNone) operation.fd.reset();
  if (service_.map_fd == MapFd::kShort) operation.fd.reset(::memfd_create("short", MFD_CLOEXEC));
  if (service_.map_fd == MapFd::kSocket) operation.fd.reset(::socket(AF_UNIX, SOCK_STREAM, 0));
  if (service_.map_fd == MapFd::kWriteOnly) {
    operation.fd.reset(::open(self.c_str(), O_WRONLY | O_CLOEXEC));
  }
  service_.mapped_.insert({header.grant.high, header.grant.low});
  mapped_.insert({header.grant.high, header.grant.low});
  operation.action = [region] {
    Operation::Reply reply;
    reply.header.offset = region.offset;
    reply.header.length = region.bytes;
    return reply;
  };
  return {};
}

// ---- the service

MemoryService::MemoryService()
    : session_(random_array<wire::SessionId>()),
      secret_(random_array<wire::Secret>()),
      fd_(::memfd_create("pmshelf-test", MFD_CLOEXEC)) {
  media::install_sigbus_guard();
  PMSHELF_CHECK(fd_ && ::ftruncate(fd_.get(), kFileBytes) == 0);
  void* data = ::mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  PMSHELF_CHECK(data != MAP_FAILED);
  data_ = static_cast<std::byte*>(data);
  elsewhere_ = std::thread([this] {
    for (;;) {
      std::vector<std::function<void()>> actions;
      {
        const std::lock_guard lock(mutex_);
        actions = std::exchange(later_, {});
        if (actions.empty() && stopping_) return;
      }
      for (const auto& action : actions) action();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
}

MemoryService::~MemoryService() {
  release_held();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  elsewhere_.join();
  ::munmap(data_, kFileBytes);
}

HandlerFactory MemoryService::factory() {
  return [this](const PeerInfo& peer, std::shared_ptr<ConnectionControl> control) {
    return std::make_unique<MemoryHandler>(*this, peer, std::move(control));
  };
}

void MemoryService::later(std::function<void()> action) {
  const std::lock_guard lock(mutex_);
  later_.push_back(std::move(action));
}

void MemoryService::release_held() {
  std::vector<std::function<void()>> actions;
  {
    const std::lock_guard lock(mutex_);
    actions = std::exchange(held_, {});
  }
  for (const auto& action : actions) action();
}

wire::GrantId MemoryService::add_region(uint64_t bytes, uint8_t rights) {
  const std::lock_guard lock(mutex_);
  const wire::GrantId grant{0x6E57, next_id_++};
  // Neighbours share no page, and a region does not begin at one, to try the rounding of map.
  next_offset_ = align_up(next_offset_, kPageBytes) + 64;
  PMSHELF_CHECK(range_inside(next_offset_, bytes, kFileBytes));
  regions_[{grant.high, grant.low}] = {next_offset_, bytes, rights, false};
  next_offset_ += bytes;
  return grant;
}

uint64_t MemoryService::add_shelf() {
  const std::lock_guard lock(mutex_);
  shelves_[next_id_];
  return next_id_++;
}

std::vector<std::byte> MemoryService::bytes_of(wire::GrantId grant) const {
  const std::lock_guard lock(mutex_);
  const Region& region = regions_.at({grant.high, grant.low});
  return {data_ + region.offset, data_ + region.offset + region.bytes};
}

void MemoryService::revoke(wire::GrantId grant) {
  const std::lock_guard lock(mutex_);
  regions_.at({grant.high, grant.low}).stale = true;
  for (const auto& control : controls_) control->notify(wire::NoticeKind::kRevoked, grant);
}

void MemoryService::notify_all(wire::NoticeKind kind) {
  const std::lock_guard lock(mutex_);
  for (const auto& control : controls_) control->notify(kind, {});
}

void MemoryService::truncate_below(wire::GrantId grant) {
  const std::lock_guard lock(mutex_);
  const Region& region = regions_.at({grant.high, grant.low});
  PMSHELF_CHECK(::ftruncate(fd_.get(), static_cast<off_t>(align_down(region.offset, kPageBytes))) ==
                0);
}

size_t MemoryService::mapped_count() const {
  const std::lock_guard lock(mutex_);
  return mapped_.size();
}

Result<Window> MemoryService::reach(wire::GrantId grant, uint8_t right, uint64_t offset,
                                    uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto found = regions_.find({grant.high, grant.low});
  if (found == regions_.end() || found->second.stale) {
    return error_of(Code::kStaleGrant, "the grant is over");
  }
  const Region& region = found->second;
  if ((region.rights & right) == 0) {
    return error_of(Code::kPermissionDenied, "the grant does not give this right");
  }
  if (!range_inside(offset, bytes, region.bytes)) {
    return error_of(Code::kOutOfRange, "offset + length is beyond the end of the region");
  }
  return Window{data_ + region.offset + offset, bytes};
}

}  // namespace pmshelf::transport
