// Promises of the recording media: the log holds every change of memory, in order, in words.
#include "common/media/recording_media.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/media/test_support.h"

namespace pmshelf::media {

bool operator==(const Event& a, const Event& b) {
  return a.kind == b.kind && a.media == b.media && a.offset == b.offset && a.value == b.value;
}
void PrintTo(const Event& event, std::ostream* out) {
  *out << "{kind " << static_cast<int>(event.kind) << " media " << int{event.media} << " offset "
       << event.offset << " value " << std::hex << event.value << std::dec << "}";
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Event::Kind;

std::unique_ptr<Media> make(Recorder& recorder, uint64_t bytes = 8192) {
  return make_recording_media(recorder, 3, std::vector<std::byte>(bytes));
}

TEST(RecordingMedia, StoreOfFiveBytesLogsOneWordWithTheOldContentMergedIn) {
  Recorder recorder;
  auto media = make(recorder);
  ASSERT_OK(media->store8(8, 0x1111111111111111));
  recorder.clear();
  ASSERT_OK(media->store(9, bytes_of("\x22\x22\x22\x22\x22")));
  EXPECT_THAT(recorder.events(), ElementsAre(Event{Kind::kStore8, 3, 8, 0x1111222222222211}));
}

TEST(RecordingMedia, StoreAcrossWordsLogsEachOnce) {
  Recorder recorder;
  auto media = make(recorder);
  ASSERT_OK(media->store(14, bytes_of("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b")));
  EXPECT_THAT(recorder.events(), ElementsAre(Event{Kind::kStore8, 3, 8, 0x0201000000000000},
                                             Event{Kind::kStore8, 3, 16, 0x0a09080706050403},
                                             Event{Kind::kStore8, 3, 24, 0x0b}));
}

TEST(RecordingMedia, LastPartialWordOfAnOddLengthIsCompletedWithZeros) {
  Recorder recorder;
  auto media = make(recorder, 11);
  ASSERT_OK(media->store(8, bytes_of("\x01\x02\x03")));
  EXPECT_THAT(recorder.events(), ElementsAre(Event{Kind::kStore8, 3, 8, 0x030201}));
}

TEST(RecordingMedia, ZeroLogsOnlyWordsThatChange) {
  Recorder recorder;
  auto media = make(recorder);
  ASSERT_OK(media->store8(4088, ~uint64_t{0}));
  ASSERT_OK(media->store8(4096, ~uint64_t{0}));
  ASSERT_OK(media->store8(4104, ~uint64_t{0}));
  recorder.clear();
  ASSERT_OK(media->zero(1, 4105));
  EXPECT_THAT(recorder.events(),
              ElementsAre(Event{Kind::kStore8, 3, 4088, 0}, Event{Kind::kStore8, 3, 4096, 0},
                          Event{Kind::kStore8, 3, 4104, 0xffffffffffff0000}));
  recorder.clear();
  ASSERT_OK(media->zero(0, 4104));
  EXPECT_THAT(recorder.events(), IsEmpty());
}

TEST(RecordingMedia, FlushDrainResizeAndMarkKeepTheirOrder) {
  Recorder recorder;
  auto media = make(recorder);
  ASSERT_OK(media->store8(0, 5));
  ASSERT_OK(media->flush(0, 8));
  ASSERT_OK(media->drain());
  recorder.mark(77);
  ASSERT_OK(media->resize(16384));
  EXPECT_THAT(recorder.events(),
              ElementsAre(Event{Kind::kStore8, 3, 0, 5}, Event{Kind::kFlush, 3, 0, 8},
                          Event{Kind::kDrain, 3, 0, 0}, Event{Kind::kMark, 0, 0, 77},
                          Event{Kind::kResize, 3, 16384, 0}));
}

TEST(RecordingMedia, RefusedAndEmptyCallsLogNothing) {
  Recorder recorder;
  auto media = make(recorder);
  EXPECT_EQ(media->store(8190, bytes_of("abc")).code(), Code::kOutOfRange);
  EXPECT_EQ(media->zero(8190, 3).code(), Code::kOutOfRange);
  EXPECT_EQ(media->flush(8190, 3).code(), Code::kOutOfRange);
  EXPECT_EQ(media->store8(4, 1).code(), Code::kInvalidArgument);
  EXPECT_OK(media->store(8192, {}));
  EXPECT_OK(media->flush(8192, 0));
  EXPECT_THAT(recorder.events(), IsEmpty());
}

TEST(RecordingMedia, SeveralMediaShareOneOrder) {
  Recorder recorder;
  auto map = make_recording_media(recorder, 0, std::vector<std::byte>(64));
  auto data = make_recording_media(recorder, 1, std::vector<std::byte>(64));
  ASSERT_OK(map->store8(0, 1));
  ASSERT_OK(data->store8(0, 2));
  ASSERT_OK(map->store8(8, 3));
  EXPECT_THAT(recorder.events(),
              ElementsAre(Event{Kind::kStore8, 0, 0, 1}, Event{Kind::kStore8, 1, 0, 2},
                          Event{Kind::kStore8, 0, 8, 3}));
}

TEST(RecordingMedia, HookRunsAfterEachDrainAndMarkAndMayClearTheLog) {
  Recorder recorder;
  auto media = make(recorder);
  std::vector<Event> seen;
  recorder.on_fence = [&](const Event& event) {
    EXPECT_EQ(recorder.events().back(), event);
    recorder.clear();
    seen.push_back(event);
  };
  ASSERT_OK(media->store8(0, 1));
  ASSERT_OK(media->flush(0, 8));
  ASSERT_OK(media->drain());
  recorder.mark(9);
  EXPECT_THAT(seen, ElementsAre(Event{Kind::kDrain, 3, 0, 0}, Event{Kind::kMark, 0, 0, 9}));
  EXPECT_THAT(recorder.events(), IsEmpty());
}

TEST(RecordingMedia, ReplayOfTheLogGivesTheMemory) {
  Recorder recorder;
  auto media = make(recorder);
  ASSERT_OK(media->store(3, bytes_of("the quick brown fox")));
  ASSERT_OK(media->store8(16, 0x4141414141414141));
  ASSERT_OK(media->zero(5, 9));
  std::string replayed(8192, '\0');
  for (const Event& event : recorder.events()) {
    std::memcpy(replayed.data() + event.offset, &event.value, 8);
  }
  EXPECT_EQ(replayed, read_text(*media, 0, 8192));
}

TEST(MemoryMedia, StartsWithTheGivenContents) {
  std::vector<std::byte> initial(3 * 4096 + 5);
  initial[4096] = std::byte{1};
  initial.back() = std::byte{2};
  auto media = make_memory_media(initial);
  std::vector<std::byte> contents(initial.size());
  ASSERT_OK(media->read(0, contents));
  EXPECT_EQ(contents, initial);
}

}  // namespace
}  // namespace pmshelf::media
