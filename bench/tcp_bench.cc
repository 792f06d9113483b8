// The stream engine against a bare socket loop, side by side in one run: ratios, not figures.
//   tcp_bench [seconds per measurement]
// Both sides move bytes between the same memories: a private buffer of the client and a file in
// /dev/shm that the server has mapped.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "common/transport/stream/stream_listener.h"
#include "common/transport/tcp/tcp_channel.h"

namespace pmshelf::transport {
namespace {

using std::chrono::steady_clock;

constexpr uint64_t kLargeBytes = 64ull << 20;
constexpr uint64_t kFrameBytes = wire::kFramePayloadBytesMax;
constexpr size_t kSmallBytes = 64;
constexpr int kPipeline = 16;

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

std::byte* map_shared_memory() {
  const std::string name = "/dev/shm/pmshelf-bench-" + std::to_string(::getpid());
  const UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  PMSHELF_CHECK(fd);
  ::unlink(name.c_str());
  PMSHELF_CHECK(::ftruncate(fd.get(), kLargeBytes) == 0);
  void* data = ::mmap(nullptr, kLargeBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  PMSHELF_CHECK(data != MAP_FAILED);
  std::memset(data, 1, kLargeBytes);
  return static_cast<std::byte*>(data);
}

// ---- our side

class BenchOperation final : public Operation {
 public:
  explicit BenchOperation(Window window) : window_(window) {}
  std::span<const Window> windows() const override { return {&window_, 1}; }
  void run(std::function<void(Reply)> done) override { done({}); }

 private:
  const Window window_;
};

class BenchHandler final : public ConnectionHandler {
 public:
  explicit BenchHandler(std::byte* memory) : memory_(memory) {}
  wire::Challenge challenge() override { return challenge_; }
  Result<wire::HelloReply> hello(const wire::Hello& hello) override {
    return wire::HelloReply{
        wire::make_proof({}, wire::Side::kServer, challenge_, hello.nonce, hello.session),
        wire::kFramePayloadBytesMax, 128};
  }
  Result<std::string> peer_token() override { return std::string(); }
  Result<std::unique_ptr<Operation>> begin(const wire::FrameHeader& header,
                                           std::span<const std::byte>) override {
    return std::unique_ptr<Operation>(
        std::make_unique<BenchOperation>(Window{memory_ + header.offset, header.length}));
  }
  void disconnected() override {}

 private:
  std::byte* const memory_;
  const wire::Challenge challenge_{};
};

class OurServer {
 public:
  explicit OurServer(std::byte* memory) {
    ListenOptions options;
    options.address = "127.0.0.1";
    auto listener = StreamListener::open(
        {&io_}, options, [memory](const PeerInfo&, std::shared_ptr<ConnectionControl>) {
          return std::make_unique<BenchHandler>(memory);
        });
    PMSHELF_CHECK(listener.ok());
    listener_ = *std::move(listener);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~OurServer() {
    listener_->stop(1000);
    guard_.reset();
    thread_.join();
  }
  std::unique_ptr<Channel> connect() const {
    TcpConnectOptions options;
    options.host = "127.0.0.1";
    options.port = listener_->port();
    auto channel = connect_tcp(options);
    PMSHELF_CHECK(channel.ok());
    return *std::move(channel);
  }

 private:
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(io_);
  std::unique_ptr<StreamListener> listener_;
  std::thread thread_;
};

// ---- the bare side

void send_all(int fd, const std::byte* data, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t count = ::send(fd, data, bytes, MSG_NOSIGNAL);
    PMSHELF_CHECK(count > 0);
    data += count;
    bytes -= static_cast<uint64_t>(count);
  }
}

bool receive_all(int fd, std::byte* data, uint64_t bytes) {
  while (bytes > 0) {
    const ssize_t count = ::recv(fd, data, bytes, 0);
    if (count <= 0) return false;
    data += count;
    bytes -= static_cast<uint64_t>(count);
  }
  return true;
}

// Requests are 64 bytes whose first says what: p(ing), w(rite), r(ead).
class BareServer {
 public:
  explicit BareServer(std::byte* memory) {
    UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    auto* where = reinterpret_cast<sockaddr*>(&address);
    PMSHELF_CHECK(::bind(listener.get(), where, bytes) == 0 && ::listen(listener.get(), 1) == 0);
    PMSHELF_CHECK(::getsockname(listener.get(), where, &bytes) == 0);
    client_.reset(::socket(AF_INET, SOCK_STREAM, 0));
    PMSHELF_CHECK(::connect(client_.get(), where, bytes) == 0);
    server_.reset(::accept(listener.get(), nullptr, nullptr));
    const int on = 1;
    ::setsockopt(client_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(server_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    thread_ = std::thread([this, memory] { serve(memory); });
  }
  ~BareServer() {
    ::shutdown(client_.get(), SHUT_RDWR);
    thread_.join();
  }
  int fd() const { return client_.get(); }

 private:
  void serve(std::byte* memory) {
    std::byte request[kSmallBytes];
    while (receive_all(server_.get(), request, sizeof request)) {
      const char what = static_cast<char>(request[0]);
      if (what == 'w' && !receive_all(server_.get(), memory, kLargeBytes)) return;
      if (what == 'r') {
        send_all(server_.get(), memory, kLargeBytes);
      } else {
        send_all(server_.get(), memory, kSmallBytes);
      }
    }
  }
  UniqueFd client_, server_;
  std::thread thread_;
};

// ---- measuring

// Runs both in turns until the time is over; the better half of each decides, so that a noisy
// neighbour does not. Seconds per round.
struct Pair {
  double bare = 0, ours = 0;
};

double typical(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 20];
}

Pair measure(double seconds, const std::function<void()>& bare, const std::function<void()>& ours) {
  std::vector<double> bare_seconds, our_seconds;
  bare();
  ours();
  const auto begin = steady_clock::now();
  do {
    auto at = steady_clock::now();
    bare();
    bare_seconds.push_back(seconds_since(at));
    at = steady_clock::now();
    ours();
    our_seconds.push_back(seconds_since(at));
  } while (seconds_since(begin) < seconds);
  return {typical(bare_seconds), typical(our_seconds)};
}

void drive(Channel& channel, const int& left) {
  PMSHELF_CHECK(channel.drive_until([&] { return left == 0; }, 60'000).ok());
}

void print_bandwidth(const char* what, const Pair& pair) {
  const double gib = static_cast<double>(kLargeBytes) / (1 << 30);
  std::printf("%-28s bare %6.2f GiB/s   ours %6.2f GiB/s   ratio %.3f\n", what, gib / pair.bare,
              gib / pair.ours, pair.bare / pair.ours);
}

void bench_latency(double seconds, BareServer& bare, Channel& channel) {
  constexpr int kRounds = 100;
  std::byte buffer[kSmallBytes] = {std::byte{'p'}};
  const auto bare_round = [&] {
    for (int i = 0; i < kRounds; ++i) {
      buffer[0] = std::byte{'p'};
      send_all(bare.fd(), buffer, sizeof buffer);
      receive_all(bare.fd(), buffer, sizeof buffer);
    }
  };
  const auto our_round = [&] {
    for (int i = 0; i < kRounds; ++i) {
      int left = 1;
      const DriveScope scope(channel);
      channel.read({1, 1}, 0, buffer, [&](const Status&) { --left; });
      drive(channel, left);
    }
  };
  const Pair pair = measure(seconds, bare_round, our_round);
  std::printf("%-28s bare %6.2f us      ours %6.2f us      ratio %.3f\n",
              "64 B read, one at a time", pair.bare / kRounds * 1e6, pair.ours / kRounds * 1e6,
              pair.ours / pair.bare);
}

void bench_pipeline(double seconds, Channel& channel, uint32_t bytes) {
  std::vector<std::vector<std::byte>> targets(kPipeline, std::vector<std::byte>(bytes));
  uint64_t count = 0;
  rusage before = {}, after = {};
  ::getrusage(RUSAGE_SELF, &before);
  const auto begin = steady_clock::now();
  while (seconds_since(begin) < seconds) {
    int left = kPipeline;
    const DriveScope scope(channel);
    for (auto& target : targets) {
      channel.read({1, 1}, 0, target, [&](const Status&) { --left; });
    }
    drive(channel, left);
    count += kPipeline;
  }
  const double passed = seconds_since(begin);
  ::getrusage(RUSAGE_SELF, &after);
  const auto cpu = [](const rusage& usage) {
    const auto us = [](const timeval& time) { return time.tv_sec * 1e6 + time.tv_usec; };
    return us(usage.ru_utime) + us(usage.ru_stime);
  };
  std::printf("%4u B read, pipeline of %d    %.0f per second, %.2f us of CPU each (both ends)\n",
              bytes, kPipeline, count / passed, (cpu(after) - cpu(before)) / count);
}

void bench_bandwidth(double seconds, BareServer& bare, Channel& channel) {
  std::vector<std::byte> buffer(kLargeBytes, std::byte{2});
  std::byte request[kSmallBytes] = {};
  const auto ours = [&](bool write) {
    int left = static_cast<int>(kLargeBytes / kFrameBytes);
    const DriveScope scope(channel);
    for (uint64_t at = 0; at < kLargeBytes; at += kFrameBytes) {
      const auto part = std::span(buffer).subspan(at, kFrameBytes);
      const auto done = [&](const Status& status) {
        PMSHELF_CHECK(status.ok());
        --left;
      };
      if (write) {
        channel.write({1, 1}, at, part, Durability::kDurable, done);
      } else {
        channel.read({1, 1}, at, part, done);
      }
    }
    drive(channel, left);
  };
  const auto bare_write = [&] {
    request[0] = std::byte{'w'};
    send_all(bare.fd(), request, sizeof request);
    send_all(bare.fd(), buffer.data(), kLargeBytes);
    receive_all(bare.fd(), request, sizeof request);
  };
  const auto bare_read = [&] {
    request[0] = std::byte{'r'};
    send_all(bare.fd(), request, sizeof request);
    receive_all(bare.fd(), buffer.data(), kLargeBytes);
  };
  print_bandwidth("64 MiB write", measure(seconds, bare_write, [&] { ours(true); }));
  print_bandwidth("64 MiB read", measure(seconds, bare_read, [&] { ours(false); }));
}

}  // namespace
}  // namespace pmshelf::transport

int main(int argument_count, char** arguments) {
  using namespace pmshelf::transport;
  const double seconds = argument_count > 1 ? std::atof(arguments[1]) : 3;
  std::byte* memory = map_shared_memory();
  BareServer bare(memory);
  OurServer server(memory);
  const auto channel = server.connect();
  bench_latency(seconds, bare, *channel);
  bench_pipeline(seconds, *channel, 64);
  bench_pipeline(seconds, *channel, 4096);
  bench_bandwidth(seconds, bare, *channel);
  return 0;
}
