// What may be on media after a crash, worked out from recorded events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <unordered_map>
#include <vector>

#include "common/media/recording_media.h"

namespace pmshelf::crash {

inline constexpr uint64_t kLineBytes = 64;

using Images = std::vector<std::vector<std::byte>>;  // one for each media

// A word with more than one possible value after a crash: values[0] is surely on media, any later
// one may have replaced it. values[0..flushed] become the past at the next drain.
struct PendingWord {
  uint8_t media = 0;
  uint64_t offset = 0;
  size_t flushed = 0;
  std::vector<uint64_t> values;
};

// Follows a recorder's events. The rules are those of the Media contract: a word is durable when
// its line was flushed and a drain of that media came after; until then any value stored since
// may be there. Single-threaded.
class Persistence {
 public:
  explicit Persistence(Images initial) : durable_(std::move(initial)) {}

  void apply(const media::Event& event);
  // Called for each word that becomes durable and each change of length, when set.
  std::function<void(uint8_t media, uint64_t offset, uint64_t value)> on_durable;
  std::function<void(uint8_t media, uint64_t bytes)> on_resize;
  const Images& durable() const { return durable_; }
  const std::vector<PendingWord>& pending() const { return pending_; }

 private:
  void store(const media::Event& event);
  void flush(const media::Event& event);
  void drain(uint8_t media);

  Images durable_;
  std::vector<PendingWord> pending_;
  std::unordered_map<uint64_t, size_t> index_;  // media and offset -> place in pending_
};

// Calls `visit` with one choice of value index for each pending word: every combination when there
// are at most `limit`, else `limit` of them: none, all, each word alone, each word missing,
// prefixes, and random ones. Stops early when `visit` returns false. Returns how many were visited.
uint64_t for_each_crash(const std::vector<PendingWord>& pending, uint64_t limit,
                        std::mt19937_64& random,
                        const std::function<bool(const std::vector<size_t>&)>& visit);

}  // namespace pmshelf::crash
