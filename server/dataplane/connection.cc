#include "server/dataplane/connection.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "server/dataplane/data_plane.h"
#include "server/dataplane/mutant.h"
#include "server/dataplane/same_host.h"

namespace pmshelf::dataplane {
namespace {

using std::chrono::steady_clock;

// Frames that reach no grant count as a sign of life this often.
constexpr auto kTouchEvery = std::chrono::milliseconds(500);

// Answers ok.
class EmptyOperation final : public DataOperation {
 public:
  using DataOperation::DataOperation;

 private:
  Reply work() override { return {}; }
};

bool takes_payload(wire::Op op) {
  return op == wire::Op::kWrite || op == wire::Op::kWriteRanges || op == wire::Op::kPut ||
         op == wire::Op::kTransact;
}

// Hands the data file over. The grant counts as mapped from before the descriptor leaves.
class MapOperation final : public DataOperation {
 public:
  MapOperation(const Request& request, std::shared_ptr<ConnectionLink> link,
               std::shared_ptr<pool::Shelf> shelf, session::Access access, int fd)
      : DataOperation(request),
        session_(request.session),
        grant_(request.header.grant),
        link_(std::move(link)),
        shelf_(std::move(shelf)),
        access_(std::move(access)),
        fd_(fd) {}

 private:
  Reply work() override {
    Reply reply;
    reply.status = mark_mapped();
    if (!reply.status.ok()) return reply;
    const pool::RegionRef& region = region_of(access_);
    reply.header.grant = grant_;
    reply.header.offset = region.file_offset();
    reply.header.length = region.bytes();
    reply.fd = fd_;
    return reply;
  }

  Status mark_mapped() {
    PMSHELF_TRY_ASSIGN(const bool first, link_->add_mapping(grant_));
    auto ask_back = [link = std::weak_ptr(link_), grant = grant_] {
      if (auto alive = link.lock()) alive->notify(wire::NoticeKind::kRevoked, grant);
    };
    Status marked = parts_.registry.set_mapped(session_, grant_, std::move(ask_back));
    if (!marked.ok() && first) link_->drop_mapping(grant_);
    return marked;
  }

  const wire::SessionId session_;
  const wire::GrantId grant_;
  const std::shared_ptr<ConnectionLink> link_;
  const std::shared_ptr<pool::Shelf> shelf_;
  const session::Access access_;  // keeps the shelf from being erased, and so fd_ open
  const int fd_;
};

}  // namespace

Connection::Connection(const DataPlaneParts& parts, ConnectionTable& table,
                       transport::PeerInfo peer,
                       std::shared_ptr<transport::ConnectionControl> control)
    : parts_(parts),
      table_(table),
      peer_(std::move(peer)),
      link_(std::make_shared<ConnectionLink>(std::move(control))),
      shelves_(parts) {
  challenge_.boot_epoch = parts_.boot_epoch;
  wire::fill_random(challenge_.nonce);
}

Connection::~Connection() { disconnected(); }

Result<wire::HelloReply> Connection::hello(const wire::Hello& hello) {
  if (hello.protocol_version != challenge_.protocol_version) {
    return Error(Code::kUnsupported, "protocol version " + std::to_string(hello.protocol_version) +
                                         "; this daemon speaks " +
                                         std::to_string(challenge_.protocol_version));
  }
  // An unknown session costs the same work and gets the same answer as a wrong proof.
  const Result<wire::Secret> known = parts_.registry.data_secret(hello.session);
  wire::Secret secret{};
  if (known.ok()) {
    secret = *known;
  } else {
    wire::fill_random(secret);
  }
  const wire::Proof expected =
      wire::make_proof(secret, wire::Side::kClient, challenge_, hello.nonce, hello.session);
  const bool proven =
      wire::equal_constant_time(expected, hello.proof) || mutant(Mutant::kAcceptAnyProof);
  if (!proven || !known.ok()) {
    return Error(Code::kUnauthenticated, "no such session, or its secret is not known to the peer");
  }
  PMSHELF_TRY_ASSIGN(session::Principal principal, parts_.registry.principal(hello.session));
  PMSHELF_TRY(table_.add(hello.session, path_name(), link_));
  session_ = hello.session;
  bound_ = true;
  shelves_.bind(session_, std::move(principal));
  parts_.registry.touch(session_);
  wire::HelloReply reply;
  reply.proof = wire::make_proof(secret, wire::Side::kServer, challenge_, hello.nonce, session_);
  reply.payload_bytes_max = wire::kFramePayloadBytesMax;
  reply.in_flight_max = parts_.in_flight_max;
  return reply;
}

Result<std::string> Connection::peer_token() { return parts_.issue_peer_token(peer_); }

Result<OperationPtr> Connection::begin(const wire::FrameHeader& header,
                                       std::span<const std::byte> meta) {
  const Path path = peer_.local ? Path::kLocal : Path::kTcp;
  const Request request{parts_, path, session_, shelves_, header, meta, steady_clock::now()};
  Result<OperationPtr> operation = dispatch(request);
  if (!operation.ok()) {
    parts_.metrics.answered(path, header.op, operation.code(), 0, elapsed_us(request.began));
  }
  return operation;
}

Result<OperationPtr> Connection::dispatch(const Request& request) {
  const wire::FrameHeader& header = request.header;
  if (header.op == wire::Op::kUnmap) return begin_unmap(request);
  if (link_->session_over()) return Error(Code::kSessionExpired, "the session has ended");
  if (request.began - touched_ > kTouchEvery) {
    parts_.registry.touch(session_);
    touched_ = request.began;
  }
  if (header.payload_bytes != 0 && !takes_payload(header.op)) {
    return Error(Code::kInvalidArgument, "payload_bytes: this request takes no payload");
  }
  switch (header.op) {
    case wire::Op::kPing:
      return OperationPtr(std::make_unique<EmptyOperation>(request));
    case wire::Op::kRead:
      return begin_read(request);
    case wire::Op::kWrite:
      return begin_write(request);
    case wire::Op::kFlush:
      return begin_flush(request);
    case wire::Op::kAtomicWrite8:
      return begin_atomic_write8(request);
    case wire::Op::kReadRanges:
      return begin_read_ranges(request);
    case wire::Op::kWriteRanges:
      return begin_write_ranges(request);
    case wire::Op::kPut:
      return begin_put(request);
    case wire::Op::kGet:
      return begin_get(request);
    case wire::Op::kTransact:
      return begin_transact(request);
    case wire::Op::kMap:
      return begin_map(request);
    case wire::Op::kRing:
      return begin_ring(request);
    default:
      return Error(Code::kInvalidArgument, "op: not a request");
  }
}

Result<OperationPtr> Connection::begin_map(const Request& request) {
  PMSHELF_TRY_ASSIGN(session::Access access,
                     begin_access(request, request.header.grant, store::kRead, 0, 0));
  const bool writable =
      parts_.registry.begin_access(session_, request.header.grant, store::kWrite, 0, 0).ok();
  PMSHELF_TRY_ASSIGN(std::shared_ptr<pool::Shelf> shelf, shelves_.by_key(access.region().shelf));
  const store::ShelfInfo info = shelf->info();
  if (info.same_host != store::SameHostPolicy::kDirect) {
    return Error(Code::kUnsupported, "the shelf's same-host policy is not direct");
  }
  if (shelf->data_fd() < 0) {
    return Error(Code::kUnsupported, "regions of a device pool cannot be handed over");
  }
  struct stat file{};
  if (::fstat(shelf->data_fd(), &file) != 0) {
    return Error(Code::kIo, shelf->data_path() + ": " + std::strerror(errno));
  }
  if (!may_map({.peer = peer_,
                .principal = shelves_.principal(),
                .shelf_owner = info.owner,
                .daemon_uid = ::geteuid(),
                .file_mode = file.st_mode,
                .file_gid = file.st_gid,
                .writable = writable})) {
    return Error(Code::kUnsupported,
                 "the data file is handed only to the shelf's owner, the daemon's user and its "
                 "group: read and write instead");
  }
  const bool hand_writable = writable || mutant(Mutant::kWritableForReaders);
  const int fd = hand_writable ? shelf->data_fd() : shelf->data_fd_read_only();
  if (fd < 0) return Error(Code::kIo, shelf->data_path() + ": no descriptor to hand over");
  return OperationPtr(
      std::make_unique<MapOperation>(request, link_, std::move(shelf), std::move(access), fd));
}

Result<OperationPtr> Connection::begin_unmap(const Request& request) {
  parts_.registry.unmapped(session_, request.header.grant);
  link_->drop_mapping(request.header.grant);
  return OperationPtr(std::make_unique<EmptyOperation>(request));
}

Result<OperationPtr> Connection::begin_ring(const Request& request) {
  const uint64_t bytes = request.header.length;
  if (bytes == 0 || bytes > kRingBytesMax) {
    return Error(Code::kInvalidArgument, "length: a ring has 1 byte to 64 MiB");
  }
  ring_ = parts_.memory.take(bytes);
  if (!ring_) {
    return Error(Code::kResourceExhausted,
                 "the memory for rings is used up ([data] buffer_memory): go on without one");
  }
  return OperationPtr(std::make_unique<EmptyOperation>(request));
}

void Connection::disconnected() {
  if (!bound_) return;
  bound_ = false;
  table_.remove(session_, path_name(), link_);
  for (const wire::GrantId grant : link_->take_mappings()) {
    parts_.registry.unmapped(session_, grant);
  }
}

}  // namespace pmshelf::dataplane
