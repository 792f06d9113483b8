// Memory media under a log of events. deep_flush is not an event: it promises nothing that the
// explorer could rely on, so a store that needs it is found out.
#include "common/media/recording_media.h"

#include <algorithm>
#include <cstring>

#include "common/media/forwarding_media.h"
#include "common/media/range.h"

namespace pmshelf::media {

void Recorder::mark(uint64_t number) { add({Event::Kind::kMark, 0, 0, number}); }

void Recorder::add(const Event& event) {
  events_.push_back(event);
  const bool fence = event.kind == Event::Kind::kDrain || event.kind == Event::Kind::kMark;
  // A copy: the hook may clear the log that `event` would otherwise have to outlive.
  if (fence && on_fence) on_fence(Event(event));
}

// Not thread-safe, as its Recorder. Writes through mapping() are not seen.
class RecordingMedia final : public ForwardingMedia {
 public:
  RecordingMedia(Recorder& recorder, uint8_t index, std::vector<std::byte> initial)
      : ForwardingMedia(make_memory_media(std::move(initial))),
        recorder_(recorder),
        index_(index),
        data_(inner_->mapping()->data) {}

  Status store(uint64_t offset, std::span<const std::byte> source) override {
    PMSHELF_TRY(inner_->store(offset, source));
    if (source.empty()) return {};
    const Extent words = widen({offset, source.size()}, kWordBytes);
    for (uint64_t at = words.offset; at < words.end(); at += kWordBytes) add_word(at);
    return {};
  }

  Status store8(uint64_t offset, uint64_t value) override {
    PMSHELF_TRY(inner_->store8(offset, value));
    add_word(offset);
    return {};
  }

  Status zero(uint64_t offset, uint64_t length) override {
    PMSHELF_TRY(check_range(name(), offset, length, bytes()));
    const uint64_t end = offset + length;
    for (uint64_t at = offset; at < end;) {
      const uint64_t page_end = std::min(end, at - at % kPageBytes + kPageBytes);
      if (!is_zero(data_ + at, page_end - at)) PMSHELF_TRY(zero_words(at, page_end));
      at = page_end;
    }
    return {};
  }

  Status flush(uint64_t offset, uint64_t length) override {
    PMSHELF_TRY(inner_->flush(offset, length));
    if (length != 0) recorder_.add({Event::Kind::kFlush, index_, offset, length});
    return {};
  }

  Status drain() override {
    PMSHELF_TRY(inner_->drain());
    recorder_.add({Event::Kind::kDrain, index_, 0, 0});
    return {};
  }

  Status resize(uint64_t new_bytes) override {
    PMSHELF_TRY(inner_->resize(new_bytes));
    recorder_.add({Event::Kind::kResize, index_, new_bytes, 0});
    return {};
  }

 private:
  Status zero_words(uint64_t begin, uint64_t end) {
    for (uint64_t at = begin; at < end;) {
      const uint64_t word = at - at % kWordBytes;
      const uint64_t part_end = std::min(end, word + kWordBytes);
      const uint64_t before = word_at(word);
      PMSHELF_TRY(inner_->zero(at, part_end - at));
      if (word_at(word) != before) add_word(word);
      at = part_end;
    }
    return {};
  }

  // The last word of a media whose length is no multiple of 8 is completed with zeros.
  uint64_t word_at(uint64_t offset) const {
    uint64_t word = 0;
    std::memcpy(&word, data_ + offset, std::min(kWordBytes, bytes() - offset));
    return word;
  }
  void add_word(uint64_t offset) {
    recorder_.add({Event::Kind::kStore8, index_, offset, word_at(offset)});
  }

  Recorder& recorder_;
  const uint8_t index_;
  const std::byte* const data_;  // memory media never move
};

std::unique_ptr<Media> make_recording_media(Recorder& recorder, uint8_t index,
                                            std::vector<std::byte> initial) {
  return std::make_unique<RecordingMedia>(recorder, index, std::move(initial));
}

}  // namespace pmshelf::media
