#include "common/transport/stream/send_queue.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/check.h"

namespace pmshelf::transport {
namespace {

// Pieces in one system call.
constexpr size_t kPiecesMax = 64;
constexpr size_t kCapacityBytesMin = 4096;
// An empty queue does not keep more than this.
constexpr size_t kCapacityBytesKept = 64 * 1024;

}  // namespace

void SendQueue::make_room(size_t bytes) {
  if (capacity_bytes_ - copied_end_ >= bytes) return;
  const size_t used_bytes = copied_end_ - copied_at_;
  const size_t needed_bytes = used_bytes + bytes;
  if (needed_bytes > capacity_bytes_ / 2 || copied_ == nullptr) {
    const size_t grown_bytes = std::max(kCapacityBytesMin, 2 * needed_bytes);
    auto grown = std::make_unique_for_overwrite<std::byte[]>(grown_bytes);
    if (used_bytes > 0) std::memcpy(grown.get(), copied_.get() + copied_at_, used_bytes);
    copied_ = std::move(grown);
    capacity_bytes_ = grown_bytes;
  } else if (used_bytes > 0) {
    std::memmove(copied_.get(), copied_.get() + copied_at_, used_bytes);
  }
  copied_at_ = 0;
  copied_end_ = used_bytes;
}

std::byte* SendQueue::append(size_t bytes) {
  PMSHELF_CHECK(bytes > 0);
  make_room(bytes);
  std::byte* room = copied_.get() + copied_end_;
  copied_end_ += bytes;
  copied_bytes_ += bytes;
  total_bytes_ += bytes;
  const bool extends = !pieces_.empty() && pieces_.back().memory == nullptr && !next_fd_;
  if (extends) {
    pieces_.back().bytes += bytes;
  } else {
    pieces_.push_back({nullptr, bytes, kNoOwner, std::move(next_fd_)});
  }
  return room;
}

void SendQueue::take_back(size_t bytes) {
  PMSHELF_CHECK(!pieces_.empty() && pieces_.back().memory == nullptr &&
                pieces_.back().bytes >= bytes && copied_bytes_ >= bytes);
  copied_end_ -= bytes;
  copied_bytes_ -= bytes;
  total_bytes_ -= bytes;
  pieces_.back().bytes -= bytes;
  if (pieces_.back().bytes == 0) pieces_.pop_back();
}

void SendQueue::append_text(std::string_view text) {
  if (!text.empty()) std::memcpy(append(text.size()), text.data(), text.size());
}

void SendQueue::append_reference(std::span<const std::byte> memory, uint64_t owner) {
  PMSHELF_CHECK(!memory.empty());
  total_bytes_ += memory.size();
  pieces_.push_back({memory.data(), memory.size(), owner, std::move(next_fd_)});
}

void SendQueue::append_fd(UniqueFd fd) { next_fd_ = std::move(fd); }

IoResult SendQueue::flush(ByteStream& stream, std::vector<uint64_t>* released) {
  while (total_bytes_ > 0) {
    std::array<iovec, kPiecesMax> sources;
    size_t count = 0;
    const std::byte* copied = copied_.get() + copied_at_;
    for (const Piece& piece : pieces_) {
      // A descriptor travels with the first byte of a call.
      if (count == kPiecesMax || (count > 0 && piece.fd)) break;
      const std::byte* memory = piece.memory != nullptr ? piece.memory : copied;
      if (piece.memory == nullptr) copied += piece.bytes;
      sources[count++] = {const_cast<std::byte*>(memory), piece.bytes};
    }
    const IoResult result = stream.send(std::span(sources).first(count), pieces_.front().fd.get());
    if (result.state != IoResult::State::kMoved) return result;
    consume(result.bytes, released);
  }
  return {IoResult::State::kMoved, 0};
}

void SendQueue::consume(size_t bytes, std::vector<uint64_t>* released) {
  total_bytes_ -= bytes;
  while (bytes > 0) {
    Piece& piece = pieces_.front();
    const size_t part = std::min(bytes, piece.bytes);
    if (piece.memory == nullptr) {
      copied_at_ += part;
      copied_bytes_ -= part;
    } else {
      piece.memory += part;
    }
    piece.bytes -= part;
    bytes -= part;
    piece.fd.reset();
    if (piece.bytes > 0) continue;
    if (piece.owner != kNoOwner) released->push_back(piece.owner);
    pieces_.pop_front();
  }
  if (copied_bytes_ == 0) {
    copied_at_ = copied_end_ = 0;
    if (capacity_bytes_ > kCapacityBytesKept) {
      copied_.reset();
      capacity_bytes_ = 0;
    }
  }
}

void SendQueue::clear(std::vector<uint64_t>* released) {
  for (const Piece& piece : pieces_) {
    if (piece.owner != kNoOwner) released->push_back(piece.owner);
  }
  pieces_.clear();
  copied_.reset();
  next_fd_.reset();
  capacity_bytes_ = copied_at_ = copied_end_ = total_bytes_ = copied_bytes_ = 0;
}

}  // namespace pmshelf::transport
