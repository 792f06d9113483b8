// A data plane over a real pool, driven as a transport would drive it, without sockets.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "server/dataplane/data_plane.h"
#include "server/dataplane/mutant.h"
#include "server/pool/pool.h"

namespace pmshelf::dataplane {

class FakeControl final : public transport::ConnectionControl {
 public:
  void notify(wire::NoticeKind kind, wire::GrantId grant) override {
    std::lock_guard lock(mutex_);
    notices_.emplace_back(kind, grant);
  }
  void close(std::string) override {
    std::lock_guard lock(mutex_);
    ++closed_;
  }
  std::vector<std::pair<wire::NoticeKind, wire::GrantId>> notices() const {
    std::lock_guard lock(mutex_);
    return notices_;
  }
  int closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<wire::NoticeKind, wire::GrantId>> notices_;
  int closed_ = 0;
};

// What a client sees of one request.
struct Answer {
  bool refused = false;  // before the payload could land anywhere
  Status status;
  wire::FrameHeader header;
  std::string meta, payload;
  bool had_fd = false;
  UniqueFd fd;  // a duplicate of what was passed
};

// One connection's client side.
class Client {
 public:
  Client(DataPlane& plane, const transport::PeerInfo& peer)
      : control(std::make_shared<FakeControl>()), handler(plane.factory()(peer, control)) {}
  ~Client() { handler->disconnected(); }

  Result<wire::HelloReply> hello(const session::OpenedSession& session) {
    return hello_for(session, handler->challenge());
  }
  Result<wire::HelloReply> hello_for(const session::OpenedSession& session,
                                     const wire::Challenge& challenge) {
    wire::Hello hello;
    hello.session = session.id;
    hello.nonce.fill(std::byte{7});
    hello.proof = wire::make_proof(session.data_secret, wire::Side::kClient, challenge, hello.nonce,
                                   hello.session);
    return handler->hello(hello);
  }

  Answer call(wire::FrameHeader header, const std::string& meta = {},
              const std::string& payload = {}) {
    header.meta_bytes = static_cast<uint32_t>(meta.size());
    header.payload_bytes = static_cast<uint32_t>(payload.size());
    auto begun = handler->begin(header, std::as_bytes(std::span(meta)));
    Answer answer;
    if (!begun.ok()) {
      answer.refused = true;
      answer.status = begun.error();
      return answer;
    }
    const OperationPtr operation = *std::move(begun);
    fill(*operation, payload);
    finish(*operation, answer);
    if (payload.empty()) {
      for (const transport::Window& window : operation->windows()) {
        answer.payload.append(reinterpret_cast<const char*>(window.data), window.bytes);
      }
    }
    return answer;
  }

  static void fill(transport::Operation& operation, const std::string& payload) {
    size_t position = 0;
    for (const transport::Window& window : operation.windows()) {
      if (payload.empty()) break;
      ASSERT_LE(window.bytes, payload.size() - position);
      std::memcpy(window.data, payload.data() + position, window.bytes);
      position += window.bytes;
    }
    ASSERT_EQ(position, payload.size());
  }

  static void finish(transport::Operation& operation, Answer& answer) {
    struct Waiter {
      std::mutex mutex;
      std::condition_variable changed;
      bool done = false;
    };
    auto waiter = std::make_shared<Waiter>();
    operation.run([&answer, waiter](transport::Operation::Reply reply) {
      answer.status = std::move(reply.status);
      answer.header = reply.header;
      answer.meta = std::move(reply.meta);
      answer.had_fd = reply.fd >= 0;
      if (reply.fd >= 0) answer.fd.reset(::dup(reply.fd));
      std::lock_guard lock(waiter->mutex);
      waiter->done = true;
      waiter->changed.notify_all();
    });
    std::unique_lock lock(waiter->mutex);
    waiter->changed.wait(lock, [&] { return waiter->done; });
  }

  Answer read(wire::GrantId grant, uint64_t offset, uint64_t length) {
    return call({.op = wire::Op::kRead, .grant = grant, .offset = offset, .length = length});
  }
  Answer write(wire::GrantId grant, uint64_t offset, const std::string& bytes, uint16_t flags = 0) {
    return call({.op = wire::Op::kWrite, .flags = flags, .grant = grant, .offset = offset}, {},
                bytes);
  }
  Answer put(uint64_t handle, const std::string& name, const std::string& value,
             uint64_t request_low = 0, uint16_t flags = 0, const std::string& attributes = {}) {
    wire::PutMeta meta;
    meta.request_low = request_low;
    meta.name = name;
    meta.attributes = attributes;
    return call({.op = wire::Op::kPut, .flags = flags, .grant = {0, handle}},
                wire::encode_put_meta(meta), value);
  }
  Answer get(uint64_t handle, const std::string& name, uint64_t length = UINT64_MAX) {
    return call({.op = wire::Op::kGet, .grant = {0, handle}, .length = length}, name);
  }

  const std::shared_ptr<FakeControl> control;
  const std::unique_ptr<transport::ConnectionHandler> handler;
};

inline transport::PeerInfo tcp_peer() { return {.address = "127.0.0.1:1"}; }
inline transport::PeerInfo local_peer(uint32_t uid = 4321) {
  return {.address = "unix", .local = true, .uid = uid, .gid = 4321, .pid = 1};
}

// The parameter is the folder that the pool is made in: tmpfs does not block, page cache does.
class PlaneTest : public ::testing::TestWithParam<std::string> {
 protected:
  static constexpr uint64_t kCapacityBytes = uint64_t{16} << 20;
  static constexpr uint64_t kMemoryBytes = uint64_t{4} << 20;

  void SetUp() override {
    set_mutant();
    static int number = 0;
    folder_ = GetParam() + "/pmshelf-plane-" + std::to_string(::getpid()) + "-" +
              std::to_string(++number);
    std::filesystem::create_directories(folder_);
    auto pool = pool::Pool::open({.path = folder_}, clock_);
    ASSERT_TRUE(pool.ok()) << pool.error().message();
    pool_ = *std::move(pool);
    shelf_ = make_shelf("s");
    session_ = open_session("unix:owner", 4321);
    grant_ = make_grant(session_, "r", 4096);
  }

  void TearDown() override {
    for (const auto& view : registry_.list()) registry_.close(view.id, "end of test");
    workers_.stop();
    shelf_.reset();
    if (pool_ != nullptr) EXPECT_TRUE(pool_->close().ok());
    pool_.reset();
    std::filesystem::remove_all(folder_);
  }

  // The bug that $PMSHELF_MUTANT names, for tests that must notice it (CMakeLists.txt).
  static void set_mutant() {
    const char* wanted = std::getenv("PMSHELF_MUTANT");
    for (const auto& [which, name] : kMutants) {
      if (wanted != nullptr && name == wanted) active_mutant = which;
    }
  }

  DataPlaneParts parts() {
    DataPlaneParts made{registry_, handles_, workers_, metrics_, memory_, {}, {}};
    made.find_shelf = [this](uint64_t key) -> std::shared_ptr<pool::Shelf> {
      for (auto& shelf : pool_->shelves()) {
        if (shelf->key() == key) return shelf;
      }
      return nullptr;
    };
    made.issue_peer_token = [](const transport::PeerInfo& peer) -> Result<std::string> {
      return "token-of-" + std::to_string(peer.uid);
    };
    made.boot_epoch = 99;
    return made;
  }

  std::shared_ptr<pool::Shelf> make_shelf(const std::string& name) {
    store::ShelfInfo info;
    info.name = name;
    info.owner = "unix:owner";
    info.capacity_bytes = kCapacityBytes;
    auto made = pool_->create_shelf(info, {});
    EXPECT_TRUE(made.ok()) << made.error().message();
    return *made;
  }
  void update(const std::function<void(store::ShelfInfo&)>& change) {
    store::ShelfInfo info = shelf_->info();
    change(info);
    const Status updated = pool_->update_shelf(info, {});
    ASSERT_TRUE(updated.ok()) << updated.error().message();
    handles_.access_changed();
  }
  session::OpenedSession open_session(const std::string& name, uint32_t uid = 0xffffffff) {
    return *registry_.open({.name = name, .uid = uid}, "test", "peer");
  }
  wire::GrantId make_grant(const session::OpenedSession& session, const std::string& name,
                           uint64_t bytes, uint8_t rights = store::kRead | store::kWrite) {
    if (shelf_->stat(name).code() == Code::kNotFound) {
      EXPECT_TRUE(shelf_->create(name, bytes, {}, {}).ok());
    }
    return grant_existing(session, name, rights);
  }
  wire::GrantId grant_existing(const session::OpenedSession& session, const std::string& name,
                               uint8_t rights) {
    auto ref = shelf_->open(name);
    EXPECT_TRUE(ref.ok()) << ref.error().message();
    const session::RegionKey key{shelf_->key(), (*ref)->id(), false};
    return *registry_.grant(session.id, {key, (*ref)->bytes(), rights, *ref});
  }
  std::unique_ptr<Client> connect(const session::OpenedSession& session,
                                  const transport::PeerInfo& peer = tcp_peer()) {
    auto client = std::make_unique<Client>(plane_, peer);
    const auto reply = client->hello(session);
    EXPECT_TRUE(reply.ok()) << reply.error().message();
    return client;
  }
  uint64_t handle_of(const session::OpenedSession& session) {
    return *handles_.open(session.id, shelf_->key(), shelf_);
  }
  std::string bytes_of(const std::string& name) {
    auto ref = shelf_->open(name);
    if (!ref.ok()) return "(" + ref.error().message() + ")";
    std::string bytes((*ref)->bytes(), '\0');
    EXPECT_TRUE((*ref)->read(0, std::as_writable_bytes(std::span(bytes))).ok());
    return bytes;
  }

  std::string folder_;
  ManualClock clock_;
  session::Registry registry_{{}, clock_};
  session::Handles handles_{registry_};
  WorkerPool workers_{2, 64};
  OpMetrics metrics_;
  MemoryBudget memory_{kMemoryBytes};
  std::unique_ptr<pool::Pool> pool_;
  std::shared_ptr<pool::Shelf> shelf_;
  DataPlane plane_{parts()};
  session::OpenedSession session_;
  wire::GrantId grant_;
};

}  // namespace pmshelf::dataplane
