// One suite over every media: what media.h promises, whatever the medium.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include "common/media/faulty_media.h"
#include "common/media/mirror_media.h"
#include "common/media/real_media.h"
#include "common/media/recording_media.h"
#include "tests/unit/media/test_support.h"

namespace pmshelf::media {
namespace {

constexpr uint64_t kBytes = 1 << 20;

// What a maker has to keep alive for its media.
struct Surroundings {
  Recorder recorder;
  FaultPlan plan;
  TemporaryDirectory in_memory{"/dev/shm"};
  TemporaryDirectory on_disk{PMSHELF_TEST_SCRATCH};
};

std::unique_ptr<Media> make_file(const TemporaryDirectory& directory, bool preallocate) {
  auto media = open_file({.path = directory.file("media"),
                          .create = true,
                          .create_bytes = kBytes,
                          .preallocate = preallocate});
  EXPECT_OK(media);
  return media.ok() ? *std::move(media) : nullptr;
}

std::unique_ptr<Media> make_mirror(std::unique_ptr<Media> file) {
  auto media = open_mirror(std::move(file), {.evict_ppm = 100'000});
  EXPECT_OK(media);
  return media.ok() ? *std::move(media) : nullptr;
}

struct Maker {
  std::string name;
  std::function<std::unique_ptr<Media>(Surroundings&)> make;
};

std::vector<Maker> makers() {
  return {
      {"memory", [](Surroundings&) { return make_memory_media(std::vector<std::byte>(kBytes)); }},
      {"recording",
       [](Surroundings& around) {
         return make_recording_media(around.recorder, 0, std::vector<std::byte>(kBytes));
       }},
      {"tmpfs", [](Surroundings& around) { return make_file(around.in_memory, true); }},
      {"tmpfs_sparse", [](Surroundings& around) { return make_file(around.in_memory, false); }},
      {"disk", [](Surroundings& around) { return make_file(around.on_disk, true); }},
      {"disk_sparse", [](Surroundings& around) { return make_file(around.on_disk, false); }},
      {"mirror_of_tmpfs",
       [](Surroundings& around) { return make_mirror(make_file(around.in_memory, false)); }},
      {"mirror_of_disk",
       [](Surroundings& around) { return make_mirror(make_file(around.on_disk, true)); }},
      {"faulty",
       [](Surroundings& around) {
         return make_faulty_media(make_memory_media(std::vector<std::byte>(kBytes)), around.plan);
       }},
  };
}

std::string maker_name(const ::testing::TestParamInfo<Maker>& parameter) {
  return parameter.param.name;
}

class MediaContract : public ::testing::TestWithParam<Maker> {
 protected:
  void SetUp() override {
    media_ = GetParam().make(around_);
    ASSERT_NE(media_, nullptr);
  }
  std::string text(uint64_t offset, uint64_t bytes) { return read_text(*media_, offset, bytes); }

  Surroundings around_;
  std::unique_ptr<Media> media_;
};

TEST_P(MediaContract, StartsZeroFilledWithTheLengthAsked) {
  EXPECT_EQ(media_->bytes(), kBytes);
  EXPECT_EQ(media_->mapping()->bytes, kBytes);
  EXPECT_EQ(text(0, kBytes), std::string(kBytes, '\0'));
  EXPECT_FALSE(media_->name().empty());
}

TEST_P(MediaContract, GranularityIsOneOfTheThree) {
  const uint32_t granularity = media_->flush_granularity_bytes();
  EXPECT_TRUE(granularity == 8 || granularity == 64 || granularity == 4096) << granularity;
}

TEST_P(MediaContract, StoreIsReadBackAtAnyAlignmentAndLength) {
  for (const uint64_t offset : {0, 1, 63, 4095, 65537}) {
    for (const uint64_t length : {1, 5, 64, 255, 256, 4097, 70001}) {
      std::string expected(length, '\0');
      for (uint64_t i = 0; i < length; ++i) expected[i] = static_cast<char>(1 + (i + length) % 251);
      ASSERT_OK(media_->zero(0, 200000));
      ASSERT_OK(media_->store(offset, bytes_of(expected)));
      ASSERT_EQ(text(offset, length), expected) << offset << " " << length;
      ASSERT_EQ(text(offset + length, 64), std::string(64, '\0')) << offset << " " << length;
      if (offset > 0) {
        ASSERT_EQ(text(offset - 1, 1), std::string(1, '\0'));
      }
    }
  }
}

TEST_P(MediaContract, StoreIsVisibleInTheMappingWhenItReturns) {
  ASSERT_OK(media_->store(100, bytes_of("visible")));
  ASSERT_OK(media_->store8(512, 0x1122334455667788));
  const auto mapped = media_->mapping();
  EXPECT_EQ(std::memcmp(mapped->data + 100, "visible", 7), 0);
  uint64_t word = 0;
  std::memcpy(&word, mapped->data + 512, 8);
  EXPECT_EQ(word, 0x1122334455667788u);
}

TEST_P(MediaContract, WritesOfTheReceivePathAreRead) {
  std::memcpy(media_->mapping()->data + 300, "received", 8);
  EXPECT_EQ(text(300, 8), "received");
}

TEST_P(MediaContract, ZeroClearsExactlyItsRange) {
  const std::string full(kBytes, 'x');
  for (const auto& [offset, length] :
       {std::pair<uint64_t, uint64_t>{3, 10}, {4096, 4096}, {100, 70000}, {65536, 262144}}) {
    ASSERT_OK(media_->store(0, bytes_of(full)));
    ASSERT_OK(media_->zero(offset, length));
    std::string expected = full;
    expected.replace(offset, length, length, '\0');
    ASSERT_EQ(text(0, kBytes), expected) << offset << " " << length;
    ASSERT_OK(media_->flush(offset, length));
    ASSERT_OK(media_->drain());
  }
}

TEST_P(MediaContract, FlushAndDrainSucceedOnAnyRange) {
  ASSERT_OK(media_->store(5, bytes_of("some bytes")));
  EXPECT_OK(media_->flush(5, 10));
  EXPECT_OK(media_->flush(4000, 200));
  EXPECT_OK(media_->flush(0, kBytes));
  EXPECT_OK(media_->drain());
  EXPECT_OK(media_->drain());
  EXPECT_OK(media_->deep_flush(5, 10));
  EXPECT_EQ(text(5, 10), "some bytes");
}

TEST_P(MediaContract, RangesOutsideAreRefusedWithoutEffect) {
  std::vector<std::byte> two(2);
  constexpr uint64_t kHuge = ~uint64_t{0};
  for (const uint64_t offset : {kBytes - 1, kBytes, kBytes + 1, kHuge - 1, kHuge}) {
    EXPECT_EQ(media_->store(offset, two).code(), Code::kOutOfRange) << offset;
    EXPECT_EQ(media_->read(offset, two).code(), Code::kOutOfRange) << offset;
    EXPECT_EQ(media_->zero(offset, 2).code(), Code::kOutOfRange) << offset;
    EXPECT_EQ(media_->flush(offset, 2).code(), Code::kOutOfRange) << offset;
    EXPECT_EQ(media_->deep_flush(offset, 2).code(), Code::kOutOfRange) << offset;
  }
  EXPECT_EQ(media_->zero(1, kHuge).code(), Code::kOutOfRange);
  EXPECT_EQ(media_->flush(1, kHuge).code(), Code::kOutOfRange);
  EXPECT_EQ(media_->store8(kBytes, 1).code(), Code::kOutOfRange);
  EXPECT_EQ(media_->store8(kHuge - 7, 1).code(), Code::kOutOfRange);
  EXPECT_EQ(media_->store8(4, 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(text(0, kBytes), std::string(kBytes, '\0'));
}

TEST_P(MediaContract, LengthZeroSucceedsUpToTheEnd) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, kBytes}) {
    EXPECT_OK(media_->store(offset, {}));
    EXPECT_OK(media_->read(offset, {}));
    EXPECT_OK(media_->zero(offset, 0));
    EXPECT_OK(media_->flush(offset, 0));
    EXPECT_OK(media_->deep_flush(offset, 0));
  }
}

TEST_P(MediaContract, GrowthKeepsTheBytesAndAddsZeros) {
  ASSERT_OK(media_->store(kBytes - 4, bytes_of("tail")));
  ASSERT_OK(media_->resize(3 * kBytes + 4096));
  EXPECT_EQ(media_->bytes(), 3 * kBytes + 4096);
  EXPECT_EQ(media_->mapping()->bytes, 3 * kBytes + 4096);
  EXPECT_EQ(text(kBytes - 4, 8), std::string("tail\0\0\0\0", 8));
  ASSERT_OK(media_->store(3 * kBytes, bytes_of("new end")));
  ASSERT_OK(media_->flush(3 * kBytes, 7));
  ASSERT_OK(media_->drain());
  EXPECT_EQ(text(3 * kBytes, 7), "new end");
}

TEST_P(MediaContract, OldMappingsStayValidAndCoherentAfterGrowth) {
  const auto old = media_->mapping();
  for (uint64_t factor = 2; factor <= 32; factor *= 2) {
    ASSERT_OK(media_->resize(factor * kBytes));
    const std::string text_now = "growth " + std::to_string(factor);
    ASSERT_OK(media_->store(64, bytes_of(text_now)));
    EXPECT_EQ(std::memcmp(old->data + 64, text_now.data(), text_now.size()), 0);
    EXPECT_EQ(std::memcmp(media_->mapping()->data + 64, text_now.data(), text_now.size()), 0);
    old->data[200] = static_cast<std::byte>(factor);
    EXPECT_EQ(media_->mapping()->data[200], static_cast<std::byte>(factor));
  }
  EXPECT_EQ(old->bytes, kBytes);
}

TEST_P(MediaContract, MappingOutlivesItsMedia) {
  ASSERT_OK(media_->store(0, bytes_of("still here")));
  const auto mapped = media_->mapping();
  media_.reset();
  EXPECT_EQ(std::memcmp(mapped->data, "still here", 10), 0);
}

TEST_P(MediaContract, WhatShrinkingCutOffComesBackAsZeros) {
  ASSERT_OK(media_->store(0, bytes_of(std::string(kBytes, 'x'))));
  ASSERT_OK(media_->resize(5000));
  EXPECT_EQ(media_->bytes(), 5000u);
  std::vector<std::byte> two(2);
  EXPECT_EQ(media_->read(4999, two).code(), Code::kOutOfRange);
  ASSERT_OK(media_->resize(kBytes));
  EXPECT_EQ(text(0, 5000), std::string(5000, 'x'));
  EXPECT_EQ(text(5000, kBytes - 5000), std::string(kBytes - 5000, '\0'));
}

TEST_P(MediaContract, DiscardedRangeReadsAsZerosOrIsUnsupported) {
  ASSERT_OK(media_->store(0, bytes_of(std::string(300000, 'x'))));
  const Status status = media_->discard(1000, 250000);
  if (!media_->can_discard()) {
    EXPECT_EQ(status.code(), Code::kUnsupported);
    return;
  }
  EXPECT_OK(status);
  EXPECT_EQ(text(999, 250002), "x" + std::string(250000, '\0') + "x");
  EXPECT_EQ(media_->discard(kBytes - 1, 2).code(), Code::kOutOfRange);
}

TEST_P(MediaContract, BadBlocksAreAListAndEmptyHere) {
  const auto blocks = media_->bad_blocks();
  ASSERT_OK(blocks);
  EXPECT_TRUE(blocks->empty());
}

INSTANTIATE_TEST_SUITE_P(All, MediaContract, ::testing::ValuesIn(makers()), maker_name);

// Recording media are single-threaded; the others take any thread on disjoint ranges.
class MediaThreads : public MediaContract {};

TEST_P(MediaThreads, DisjointRangesNeedNoExclusion) {
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      // Neighbours share cache lines and pages: ranges of 40 bytes, one after the other.
      const uint64_t offset = 40 * thread;
      std::string seen(40, '\0');
      for (int round = 0; round < 200; ++round) {
        const std::string mine(40, static_cast<char>('a' + (round + thread) % 26));
        if (!media_->store(offset, bytes_of(mine)).ok()) ++failures;
        if (!media_->flush(offset, 40).ok() || !media_->drain().ok()) ++failures;
        if (!media_->read(offset, std::as_writable_bytes(std::span(seen))).ok()) ++failures;
        if (seen != mine) ++failures;
        if (media_->mapping()->bytes < kBytes) ++failures;
      }
    });
  }
  for (uint64_t factor = 2; factor < 12; ++factor) ASSERT_OK(media_->resize(factor * kBytes));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

std::vector<Maker> thread_safe_makers() {
  std::vector<Maker> all = makers();
  std::erase_if(
      all, [](const Maker& maker) { return maker.name == "recording" || maker.name == "faulty"; });
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, MediaThreads, ::testing::ValuesIn(thread_safe_makers()), maker_name);

}  // namespace
}  // namespace pmshelf::media
