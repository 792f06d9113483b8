// Whole values against Redis SET and GET, over loopback TCP, spoken to without a client library in
// between (which would only slow it down).
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "bench/samples.h"
#include "bench/sockets.h"
#include "pmshelf/client.h"

namespace pmshelf::bench {
namespace {

std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

class Redis {
 public:
  explicit Redis(uint16_t port) : socket_(connect_to("127.0.0.1", port)), buffer_(64 << 10) {}

  void set(const std::string& key, std::span<const std::byte> value) {
    send_all(socket_, as_bytes("*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key +
                               "\r\n$" + std::to_string(value.size()) + "\r\n"));
    send_all(socket_, value);
    send_all(socket_, as_bytes("\r\n"));
    if (line() != "+OK") give_up("redis refused SET");
  }
  void get(const std::string& key, std::span<std::byte> target) {
    send_all(socket_, as_bytes(get_command(key)));
    take_bulk(target);
  }
  // `count` GETs in flight, as redis-benchmark -P.
  void get_pipelined(const std::string& key, std::span<std::byte> target, uint64_t count) {
    std::string commands;
    for (uint64_t n = 0; n < count; ++n) commands += get_command(key);
    send_all(socket_, as_bytes(commands));
    for (uint64_t n = 0; n < count; ++n) take_bulk(target);
  }

 private:
  static std::string get_command(const std::string& key) {
    return "*2\r\n$3\r\nGET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
  }
  void fill() {
    if (begin_ == end_) begin_ = end_ = 0;
    const ssize_t got = ::read(socket_.get(), buffer_.data() + end_, buffer_.size() - end_);
    if (got <= 0) give_up("redis closed the connection");
    end_ += static_cast<size_t>(got);
  }
  std::string line() {
    std::string text;
    while (true) {
      if (begin_ == end_) fill();
      const char c = static_cast<char>(buffer_[begin_++]);
      if (c == '\n') break;
      if (c != '\r') text.push_back(c);
    }
    return text;
  }
  void take(std::span<std::byte> target) {
    const size_t buffered = std::min(target.size(), end_ - begin_);
    std::memcpy(target.data(), buffer_.data() + begin_, buffered);
    begin_ += buffered;
    if (buffered < target.size()) receive_all(socket_, target.subspan(buffered));
  }
  void take_bulk(std::span<std::byte> target) {
    if (line() != "$" + std::to_string(target.size()))
      give_up("redis answered GET with another length");
    take(target);
    (void)line();
  }

  UniqueFd socket_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;
};

struct Pair {
  Redis& redis;
  const Shelf& shelf;
  std::string suffix;
  uint64_t rounds;
};

void compare_values(const Pair& pair, const char* label, uint64_t bytes, uint64_t operations) {
  std::vector<std::byte> value(bytes, std::byte{0x33}), target(bytes);
  const std::string set = std::string("redis_put_") + label + pair.suffix;
  const std::string get = std::string("redis_get_") + label + pair.suffix;
  for (uint64_t round = 0; round <= pair.rounds; ++round) {
    const auto many = [&](const std::function<void()>& once) {
      return timed([&] {
        for (uint64_t n = 0; n < operations; ++n) once();
      });
    };
    const double redis_set = many([&] { pair.redis.set("k", value); });
    const double our_put = many([&] { must(pair.shelf.put("k", value), "put"); });
    const double redis_get = many([&] { pair.redis.get("k", target); });
    const double our_get = many([&] { (void)must(pair.shelf.get_into("k", target), "get"); });
    if (round == 0) continue;
    sample(set.c_str(), "redis", bytes, operations, redis_set);
    sample(set.c_str(), "pmshelf", bytes, operations, our_put);
    sample(get.c_str(), "redis", bytes, operations, redis_get);
    sample(get.c_str(), "pmshelf", bytes, operations, our_get);
  }
}

void compare_pipelined(const Pair& pair) {
  constexpr uint64_t kDepth = 16, kBatches = 20000;
  std::vector<std::byte> value(64, std::byte{1});
  std::vector<std::vector<std::byte>> targets(kDepth, std::vector<std::byte>(64));
  pair.redis.set("p", value);
  must(pair.shelf.put("p", value), "put");
  const Region region = must(pair.shelf.open_region("p"), "open");
  const std::string name = "redis_pipelined_get_64B" + pair.suffix;
  for (uint64_t round = 0; round <= pair.rounds; ++round) {
    const double redis = timed([&] {
      for (uint64_t n = 0; n < kBatches; ++n) pair.redis.get_pipelined("p", value, kDepth);
    });
    const double ours = timed([&] {
      std::vector<std::future<Result<uint64_t>>> inflight;
      for (uint64_t n = 0; n < kBatches; ++n) {
        inflight.clear();
        for (uint64_t at = 0; at < kDepth; ++at) {
          inflight.push_back(pair.shelf.get_into_async("p", targets[at]));
        }
        for (auto& one : inflight) (void)must(one.get(), "get");
      }
    });
    if (round == 0) continue;
    sample(name.c_str(), "redis", 64, kDepth * kBatches, redis);
    sample(name.c_str(), "pmshelf", 64, kDepth * kBatches, ours);
  }
}

}  // namespace

int run_redis(const Arguments& arguments) {
  ConnectOptions options;
  options.target = argument(arguments, "target");
  options.token = argument(arguments, "token");
  options.path = Path::kTcp;
  const Client client = must(Client::connect(options), "connect");
  (void)client.erase_shelf("bench");
  const Shelf shelf = must(client.create_shelf("bench", 512 << 20), "create shelf");
  Redis redis(static_cast<uint16_t>(number(arguments, "redis-port", 6379)));
  const Pair pair{redis, shelf, argument(arguments, "suffix"), number(arguments, "rounds", 7)};
  compare_values(pair, "64MiB", 64 << 20, number(arguments, "large-operations", 3));
  compare_values(pair, "4KiB", 4096, number(arguments, "small-operations", 5000));
  if (argument(arguments, "pipelined") == "yes") compare_pipelined(pair);
  must(client.erase_shelf("bench"), "erase shelf");
  return 0;
}

}  // namespace pmshelf::bench
