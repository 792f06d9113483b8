#include "client/cli/pump.h"

#include <algorithm>
#include <array>
#include <memory>
#include <system_error>

namespace pmshelf::cli {
namespace {

using Buffer = std::unique_ptr<std::byte[]>;

Status take(std::future<Status>& future) {
  if (!future.valid()) return {};
  return future.get();
}

}  // namespace

Status pump(uint64_t bytes, const PumpEnds& ends, size_t chunk_bytes) {
  const auto most = static_cast<size_t>(std::min<uint64_t>(bytes, chunk_bytes));
  const std::array<Buffer, 2> buffers = {std::make_unique<std::byte[]>(most),
                                         std::make_unique<std::byte[]>(bytes > most ? most : 0)};
  const auto length_at = [&](uint64_t offset) {
    return static_cast<size_t>(std::min<uint64_t>(bytes - offset, chunk_bytes));
  };
  std::future<Status> reading, writing;
  size_t turn = 0;
  uint64_t offset = 0;
  if (bytes != 0) reading = ends.read(0, {buffers[0].get(), length_at(0)});
  while (offset < bytes) {
    const size_t length = length_at(offset);
    const uint64_t next = offset + length;
    Status status = take(reading);
    // The other buffer is free once its chunk is written.
    const Status written = take(writing);
    if (status.ok()) status = written;
    if (status.ok()) status = ends.progress(offset);
    if (!status.ok()) return status;
    writing = ends.write(offset, {buffers[turn].get(), length});
    turn = 1 - turn;
    if (next < bytes) reading = ends.read(next, {buffers[turn].get(), length_at(next)});
    offset = next;
  }
  PMSHELF_TRY(take(writing));
  return ends.progress(bytes);
}

std::future<Status> run_aside(std::function<Status()> call) {
  try {
    return std::async(std::launch::async, call);
  } catch (const std::system_error&) {  // no thread to be had: do it here
    std::promise<Status> done;
    done.set_value(call());
    return done.get_future();
  }
}

}  // namespace pmshelf::cli
