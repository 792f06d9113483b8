// A client takes any frames from a server: every request completes once, and nothing is written
// outside its target.
#include <sys/socket.h>

#include <cstdlib>
#include <memory>

#include "common/base/check.h"
#include "common/transport/stream/stream_channel.h"
#include "tests/fuzz/frame_repair.h"

using namespace pmshelf;
using namespace pmshelf::transport;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint32_t kRequests = 4;
  if (size > 100'000) return 0;
  // Tags of requests that are in flight, mostly.
  const auto frames =
      wire::repair_frames(std::as_bytes(std::span(data, size)), [](std::byte* header) {
        const auto tag = load_le<uint64_t>(header + 8);
        if (tag % 8 != 7) store_le<uint64_t>(header + 8, uint64_t{1} << 32 | tag % kRequests);
      });
  int fds[2];
  PMSHELF_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const int buffer_bytes = 256 * 1024;
  ::setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  UniqueFd server(fds[1]);
  StreamChannelParts parts;
  parts.stream = make_plain_stream(UniqueFd(fds[0]), true);
  parts.path = "fuzz";
  parts.capabilities.map = true;
  auto channel = *StreamChannel::make(std::move(parts));
  // Exactly as large as asked: a byte too many is the sanitizer's to find.
  auto target = std::make_unique<std::byte[]>(100);
  auto value = std::make_unique<std::byte[]>(50);
  uint32_t left = kRequests;
  const auto done = [&](const Status&) { --left; };
  {
    const DriveScope scope(*channel);
    channel->read({1, 1}, 0, {target.get(), 100}, done);
    channel->get(1, "name", {value.get(), 50}, [&](const Result<GetResult>&) { --left; });
    channel->flush({1, 1}, 0, 1, done);
    channel->ping(done);
    PMSHELF_CHECK(::send(server.get(), frames.data(), frames.size(), MSG_DONTWAIT) >= 0 ||
                  frames.empty());
    ::shutdown(server.get(), SHUT_WR);
    const Status status = channel->drive_until([&] { return left == 0; }, 0);
    if (!status.ok()) std::abort();
  }
  channel.reset();
  if (left != 0) std::abort();
  return 0;
}
