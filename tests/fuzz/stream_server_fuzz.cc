// A connection of the server takes any frames after Hello: it answers or closes, and touches no
// byte outside the windows that its handler gave.
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <asio/io_context.hpp>
#include <cstdlib>
#include <memory>

#include "common/base/check.h"
#include "common/base/units.h"
#include "common/transport/stream/connection.h"
#include "tests/fuzz/frame_repair.h"

using namespace pmshelf;
using namespace pmshelf::transport;

namespace {

constexpr uint64_t kRegionBytes = 8192;

class FuzzOperation final : public Operation {
 public:
  explicit FuzzOperation(std::vector<Window> windows) : windows_(std::move(windows)) {}
  std::span<const Window> windows() const override { return windows_; }
  void run(std::function<void(Reply)> done) override { done({}); }

 private:
  const std::vector<Window> windows_;
};

class FuzzHandler final : public ConnectionHandler {
 public:
  explicit FuzzHandler(std::byte* region) : region_(region) {}
  wire::Challenge challenge() override { return {}; }
  Result<wire::HelloReply> hello(const wire::Hello&) override {
    return wire::HelloReply{{}, wire::kFramePayloadBytesMax, 16};
  }
  Result<std::string> peer_token() override { return std::string("token"); }
  Result<std::unique_ptr<Operation>> begin(const wire::FrameHeader& header,
                                           std::span<const std::byte> meta) override {
    std::vector<Window> windows;
    switch (header.op) {
      case wire::Op::kRead:
      case wire::Op::kGet:
        PMSHELF_TRY(reach(windows, header.offset, header.length));
        break;
      case wire::Op::kWrite:
      case wire::Op::kPut:
      case wire::Op::kTransact:
        PMSHELF_TRY(reach(windows, header.offset, header.payload_bytes));
        break;
      case wire::Op::kReadRanges:
      case wire::Op::kWriteRanges: {
        PMSHELF_TRY_ASSIGN(const auto ranges, wire::decode_ranges(meta));
        for (const auto& [offset, length] : ranges) PMSHELF_TRY(reach(windows, offset, length));
        break;
      }
      default:
        break;
    }
    return std::unique_ptr<Operation>(std::make_unique<FuzzOperation>(std::move(windows)));
  }
  void disconnected() override {}

 private:
  Status reach(std::vector<Window>& windows, uint64_t offset, uint64_t bytes) const {
    if (!range_inside(offset, bytes, kRegionBytes)) return Error(Code::kOutOfRange, "range");
    windows.push_back({region_ + offset, bytes});
    return {};
  }
  std::byte* const region_;
};

void send_hello(int fd) {
  wire::FrameHeader header;
  header.op = wire::Op::kHello;
  const std::string meta = wire::encode_hello({});
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  std::array<std::byte, wire::kFrameHeaderBytes> bytes;
  wire::encode_header(header, bytes);
  PMSHELF_CHECK(::send(fd, bytes.data(), bytes.size(), 0) > 0);
  PMSHELF_CHECK(::send(fd, meta.data(), meta.size(), 0) > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (spdlog::set_level(spdlog::level::off), true);
  static_cast<void>(quiet);
  if (size > 100'000) return 0;
  const auto frames = wire::repair_frames(std::as_bytes(std::span(data, size)), [](std::byte*) {});
  int fds[2];
  PMSHELF_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  UniqueFd client(fds[0]);
  auto region = std::make_unique<std::byte[]>(kRegionBytes);
  bool closed = false;
  asio::io_context io(1);
  ConnectionParts parts;
  parts.stream = make_plain_stream(UniqueFd(fds[1]), false);
  parts.peer.local = true;
  parts.factory = [&](const PeerInfo&, std::shared_ptr<ConnectionControl>) {
    return std::make_unique<FuzzHandler>(region.get());
  };
  parts.on_closed = [&] { closed = true; };
  std::make_shared<StreamConnection>(io, std::move(parts))->start();
  send_hello(client.get());
  std::vector<std::byte> answers(65536);
  size_t at = 0;
  while (!closed && at < frames.size()) {
    const ssize_t count =
        ::send(client.get(), frames.data() + at, frames.size() - at, MSG_NOSIGNAL);
    if (count > 0) at += static_cast<size_t>(count);
    io.poll();
    while (::recv(client.get(), answers.data(), answers.size(), 0) > 0) {
    }
  }
  client.reset();
  while (!closed) io.poll();
  io.poll();
  return 0;
}
