// TCP: large reads and writes against a bare send/recv loop between the same kinds of memory, and
// 64-byte round trips against a bare ping-pong.
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "bench/samples.h"
#include "bench/sockets.h"
#include "common/media/real_media.h"
#include "pmshelf/client.h"

namespace pmshelf::bench {
namespace {

// The raw limit: serves {bytes, direction} commands from a mapped file on the pool's file system.
// Direction 1: receive into it, answer one byte; 2: send from it; 0: end.
class BareServer {
 public:
  BareServer(const std::string& file_path, uint64_t bytes) {
    media::OpenFile file;
    file.path = file_path;
    file.create = true;
    file.create_bytes = bytes;
    media_ = must(media::open_file(file), "bare server's file");
    listener_ = listen_on_loopback(&port_);
    thread_ = std::thread([this] { serve(); });
    socket_ = connect_to("127.0.0.1", port_);
  }
  ~BareServer() {
    command(0, 0);
    thread_.join();
  }
  void put(std::span<const std::byte> source) {
    command(source.size(), 1);
    send_all(socket_, source);
    std::byte answer{};
    receive_all(socket_, {&answer, 1});
  }
  void get(std::span<std::byte> target) {
    command(target.size(), 2);
    receive_all(socket_, target);
  }

 private:
  void command(uint64_t bytes, uint64_t direction) {
    const uint64_t words[2] = {bytes, direction};
    send_all(socket_, std::as_bytes(std::span(words)));
  }
  void serve() {
    const UniqueFd peer = accept_from(listener_);
    const auto mapping = media_->mapping();
    while (true) {
      uint64_t words[2];
      receive_all(peer, std::as_writable_bytes(std::span(words)));
      if (words[1] == 0) return;
      if (words[1] == 1) {
        receive_all(peer, {mapping->data, words[0]});
        const std::byte answer{1};
        send_all(peer, {&answer, 1});
      } else {
        send_all(peer, {mapping->data, words[0]});
      }
    }
  }

  std::unique_ptr<media::Media> media_;
  UniqueFd listener_, socket_;
  uint16_t port_ = 0;
  std::thread thread_;
};

// 64 bytes out, 64 bytes back, blocking on both sides.
class PingPong {
 public:
  PingPong() {
    listener_ = listen_on_loopback(&port_);
    thread_ = std::thread([this] {
      const UniqueFd peer = accept_from(listener_);
      std::byte message[64];
      while (true) {
        receive_all(peer, message);
        if (message[0] == std::byte{0xff}) return;
        send_all(peer, message);
      }
    });
    socket_ = connect_to("127.0.0.1", port_);
  }
  ~PingPong() {
    std::byte end[64] = {std::byte{0xff}};
    send_all(socket_, end);
    thread_.join();
  }
  void round_trip() {
    std::byte message[64] = {};
    send_all(socket_, message);
    receive_all(socket_, message);
  }

 private:
  UniqueFd listener_, socket_;
  uint16_t port_ = 0;
  std::thread thread_;
};

Client connect_tcp(const Arguments& arguments) {
  ConnectOptions options;
  options.target = argument(arguments, "target");
  options.token = argument(arguments, "token");
  options.path = Path::kTcp;
  return must(Client::connect(options), "connect");
}

Shelf fresh_shelf(const Client& client, uint64_t bytes) {
  (void)client.erase_shelf("bench");
  return must(client.create_shelf("bench", bytes), "create shelf");
}

}  // namespace

int run_tcp(const Arguments& arguments) {
  const uint64_t bytes = number(arguments, "bytes", 64 << 20);
  const uint64_t rounds = number(arguments, "rounds", 21);
  std::vector<std::byte> source(bytes, std::byte{0x5a}), target(bytes);
  BareServer bare(argument(arguments, "dir") + "/bare.bench", bytes);
  const Client client = connect_tcp(arguments);
  const Shelf shelf = fresh_shelf(client, 4 * bytes + (64 << 20));
  const Region region = must(shelf.create_region("r", bytes), "create region");
  for (uint64_t round = 0; round <= rounds; ++round) {
    const double bare_put = timed([&] { bare.put(source); });
    const double write = timed([&] { must(region.write(0, source), "write"); });
    const double put = timed([&] { must(shelf.put("value", source), "put"); });
    const double bare_get = timed([&] { bare.get(target); });
    const double read = timed([&] { must(region.read(0, target), "read"); });
    const double get = timed([&] { (void)must(shelf.get_into("value", target), "get"); });
    if (round == 0) continue;
    sample("tcp_write_64MiB", "bare", bytes, 1, bare_put);
    sample("tcp_write_64MiB", "pmshelf", bytes, 1, write);
    sample("tcp_put_64MiB", "bare", bytes, 1, bare_put);
    sample("tcp_put_64MiB", "pmshelf", bytes, 1, put);
    sample("tcp_read_64MiB", "bare", bytes, 1, bare_get);
    sample("tcp_read_64MiB", "pmshelf", bytes, 1, read);
    sample("tcp_get_64MiB", "bare", bytes, 1, bare_get);
    sample("tcp_get_64MiB", "pmshelf", bytes, 1, get);
  }
  must(client.erase_shelf("bench"), "erase shelf");
  return 0;
}

int run_small(const Arguments& arguments) {
  constexpr uint64_t kTrips = 20000;
  const uint64_t rounds = number(arguments, "rounds", 7);
  PingPong bare;
  const Client client = connect_tcp(arguments);
  const Shelf shelf = fresh_shelf(client, 64 << 20);
  std::vector<std::byte> value(64, std::byte{7});
  must(shelf.put("k", value), "put");
  const Region region = must(shelf.open_region("k"), "open region");
  for (uint64_t round = 0; round <= rounds; ++round) {
    const double ping = timed([&] {
      for (uint64_t n = 0; n < kTrips; ++n) bare.round_trip();
    });
    const double get = timed([&] {
      for (uint64_t n = 0; n < kTrips; ++n) (void)must(shelf.get_into("k", value), "get");
    });
    const double read = timed([&] {
      for (uint64_t n = 0; n < kTrips; ++n) must(region.read(0, value), "read");
    });
    if (round == 0) continue;
    sample("tcp_get_64B", "bare", 64, kTrips, ping);
    sample("tcp_get_64B", "pmshelf", 64, kTrips, get);
    sample("tcp_read_64B", "bare", 64, kTrips, ping);
    sample("tcp_read_64B", "pmshelf", 64, kTrips, read);
  }
  must(client.erase_shelf("bench"), "erase shelf");
  return 0;
}

}  // namespace pmshelf::bench
