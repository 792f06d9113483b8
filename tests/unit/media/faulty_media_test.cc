// Promises of the faulty media: exactly the chosen call fails, with the chosen code, without
// effect.
#include "common/media/faulty_media.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "common/media/recording_media.h"
#include "tests/unit/media/test_support.h"

namespace pmshelf::media {
namespace {

using Step = std::function<Status(Media&)>;

// One call of every counted kind but discard, which memory media do not have.
const std::vector<Step>& script() {
  static const std::vector<Step> steps = {
      [](Media& media) { return media.store(0, bytes_of("abcdefgh")); },
      [](Media& media) { return media.store8(8, 1); },
      [](Media& media) { return media.zero(16, 4); },
      [](Media& media) {
        std::array<std::byte, 8> target;
        return media.read(0, target);
      },
      [](Media& media) { return media.flush(0, 16); },
      [](Media& media) { return media.drain(); },
      [](Media& media) { return media.resize(8192); },
  };
  return steps;
}

// Outcome of each step, and the events that reached the media below.
struct Outcome {
  std::vector<Code> codes;
  std::vector<Event::Kind> kinds;
};

Outcome run_script(FaultPlan& plan) {
  Recorder recorder;
  auto media = make_faulty_media(
      make_recording_media(recorder, 0, std::vector<std::byte>(4096, std::byte{1})), plan);
  Outcome outcome;
  for (const Step& step : script()) outcome.codes.push_back(step(*media).code());
  for (const Event& event : recorder.events()) outcome.kinds.push_back(event.kind);
  return outcome;
}

TEST(FaultyMedia, WithoutAPlanNothingFailsAndEveryCallIsCounted) {
  FaultPlan plan;
  const Outcome outcome = run_script(plan);
  EXPECT_EQ(outcome.codes, std::vector<Code>(script().size(), Code::kOk));
  EXPECT_EQ(plan.calls, static_cast<int64_t>(script().size()));
}

TEST(FaultyMedia, ExactlyTheNthCallFailsForEveryN) {
  FaultPlan none;
  const Outcome good = run_script(none);
  for (size_t fail_at = 0; fail_at < script().size(); ++fail_at) {
    FaultPlan plan{.fail_at_call = static_cast<int64_t>(fail_at)};
    const Outcome outcome = run_script(plan);
    for (size_t step = 0; step < outcome.codes.size(); ++step) {
      EXPECT_EQ(outcome.codes[step], step == fail_at ? Code::kIo : Code::kOk) << step;
    }
    const size_t lost = fail_at == 3 ? 0 : 1;  // a read leaves no event
    EXPECT_EQ(outcome.kinds.size(), good.kinds.size() - lost)
        << "call " << fail_at << " had an effect";
  }
}

TEST(FaultyMedia, StickyFaultFailsEveryLaterCallWithTheChosenCode) {
  FaultPlan plan{.fail_at_call = 2, .code = Code::kNoSpace, .sticky = true};
  const Outcome outcome = run_script(plan);
  for (size_t step = 0; step < outcome.codes.size(); ++step) {
    EXPECT_EQ(outcome.codes[step], step < 2 ? Code::kOk : Code::kNoSpace) << step;
  }
}

TEST(FaultyMedia, DiscardIsCounted) {
  FaultPlan plan{.fail_at_call = 0};
  auto media = make_faulty_media(make_memory_media(std::vector<std::byte>(4096)), plan);
  EXPECT_EQ(media->discard(0, 8).code(), Code::kIo);
  EXPECT_EQ(media->discard(0, 8).code(), Code::kUnsupported);
}

}  // namespace
}  // namespace pmshelf::media
