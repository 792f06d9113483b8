// Recording media: DRAM that logs every event in order, for the crash explorer (tests/crash).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "common/media/media.h"

namespace pmshelf::media {

// One event on one of the media that share a Recorder. Stores are logged in aligned 8-byte words:
// `value` is the whole word after the store.
struct Event {
  enum class Kind : uint8_t { kStore8, kFlush, kDrain, kResize, kMark };
  Kind kind;
  uint8_t media;    // index given at creation
  uint64_t offset;  // kStore8: of the word; kFlush: start; kResize: new length
  uint64_t value;   // kStore8: new word; kFlush: length in bytes; kMark: the caller's number
};

// The common, ordered log of all media made from it. Not thread-safe (tests are single-threaded).
class Recorder {
 public:
  const std::vector<Event>& events() const { return events_; }
  void clear() { events_.clear(); }
  // Puts an acknowledgement (or any other marker) into the order of events.
  void mark(uint64_t number);
  // Called after each drain and each mark, when set: the explorer's hook.
  std::function<void(const Event&)> on_fence;

 private:
  friend class RecordingMedia;
  void add(const Event& event);
  std::vector<Event> events_;
};

// DRAM media of `initial.size()` bytes with these contents. Class kPersistent, granularity 64.
// `recorder` outlives it. zero() is recorded as word stores of the words that were not zero.
// Writes through mapping() are not recorded, deep_flush() neither; discard() is kUnsupported.
std::unique_ptr<Media> make_recording_media(Recorder& recorder, uint8_t index,
                                            std::vector<std::byte> initial);

// Plain DRAM media that records nothing: recovery runs on these. Same class and granularity.
std::unique_ptr<Media> make_memory_media(std::vector<std::byte> initial);

}  // namespace pmshelf::media
