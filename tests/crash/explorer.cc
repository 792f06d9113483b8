#include "tests/crash/explorer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/units.h"
#include "tests/crash/script.h"

namespace pmshelf::crash {
namespace {

constexpr uint64_t kLogBytes = 16 * kKiB;  // small: compaction is frequent and recovery fast
constexpr uint64_t kMapBytes = 4 * kMiB + 4 * kLogBytes;
constexpr uint64_t kDataBytes = 10 * kMiB;
constexpr uint64_t kDeviceBytes = 14 * kMiB;
constexpr uint64_t kDeviceMetadataBytes = 6 * kMiB;
constexpr uint64_t kNestedStatesPerFence = 48;

Images empty_images(bool device) {
  if (device) return {std::vector<std::byte>(kDeviceBytes)};
  return {std::vector<std::byte>(kMapBytes), std::vector<std::byte>(kDataBytes)};
}

std::vector<std::unique_ptr<media::Media>> record(media::Recorder& recorder, const Images& images) {
  std::vector<std::unique_ptr<media::Media>> media;
  for (size_t at = 0; at < images.size(); ++at) {
    media.push_back(media::make_recording_media(recorder, static_cast<uint8_t>(at), images[at]));
  }
  return media;
}

Result<std::unique_ptr<store::Store>> open_store(std::vector<std::unique_ptr<media::Media>> media,
                                                 const Clock& clock) {
  std::unique_ptr<media::Media> data = media.size() > 1 ? std::move(media[1]) : nullptr;
  return store::Store::open(std::move(media[0]), std::move(data), {}, clock);
}

std::vector<std::unique_ptr<media::Media>> scratch_media(Scratch& scratch, size_t count) {
  std::vector<std::unique_ptr<media::Media>> media;
  for (size_t at = 0; at < count; ++at) media.push_back(scratch.media(static_cast<uint8_t>(at)));
  return media;
}

}  // namespace

Explorer::Explorer(const ExplorerOptions& options) : options_(options), random_(options.seed) {}

void Explorer::fail(const std::string& what) {
  if (failure_.empty()) {
    failure_ = what + " (seed " + std::to_string(options_.seed) + ", state " +
               std::to_string(states_) + ", fence " + std::to_string(fences_) +
               (device_ ? ", device store)" : ", directory store)");
  }
}

void Explorer::start_store() {
  device_ = random_() % 4 == 0;
  recorder_ = std::make_unique<media::Recorder>();
  Images images = empty_images(device_);
  {
    auto media = record(*recorder_, images);
    store::FormatOptions format;
    format.device = device_;
    format.metadata_bytes = device_ ? kDeviceMetadataBytes : 0;
    format.log_bytes = kLogBytes;
    const Status formatted =
        store::Store::format(*media[0], device_ ? nullptr : media[1].get(), format, clock_);
    if (!formatted.ok()) return fail("format: " + formatted.error().to_string());
    for (size_t at = 0; at < media.size(); ++at) {
      images[at].resize(media[at]->bytes());
      if (!media[at]->read(0, images[at]).ok()) return fail("reading back the formatted store");
    }
  }
  recorder_->clear();
  acknowledged_.clear();
  acknowledged_digest_ = digest(acknowledged_);
  last_request_ = {};
  in_flight_.reset();
  in_place_.reset();
  events_applied_ = 0;
  persistence_ = std::make_unique<Persistence>(images);
  scratch_ = std::make_unique<Scratch>(images);
  persistence_->on_durable = [this](uint8_t media, uint64_t offset, uint64_t value) {
    scratch_->settle(media, offset, value);
  };
  persistence_->on_resize = [this](uint8_t media, uint64_t bytes) {
    scratch_->settle_size(media, bytes);
  };
  recorder_->on_fence = [this](const media::Event& fence) { on_fence(fence); };
  auto opened = open_store(record(*recorder_, images), clock_);
  if (!opened.ok()) return fail("open: " + opened.error().to_string());
  store_ = *std::move(opened);
}

void Explorer::finish_store() {
  store_.reset();  // without close: the power went
  persistence_.reset();
  scratch_.reset();
  recorder_.reset();
}

void Explorer::acknowledge(Model now, const store::RequestId& request) {
  acknowledged_ = std::move(now);
  acknowledged_digest_ = digest(acknowledged_);
  if (request) last_request_ = request;
  in_flight_.reset();
  in_place_.reset();
  recorder_->mark(fences_);
}

void Explorer::set_in_flight(Model next) {
  in_flight_digest_ = digest(next);
  in_flight_ = std::move(next);
}

void Explorer::set_in_place(std::string name, uint64_t offset, std::string bytes) {
  in_place_ = InPlace{std::move(name), offset, std::move(bytes)};
}

void Explorer::on_fence(const media::Event& fence) {
  const std::vector<media::Event>& events = recorder_->events();
  // The fence itself comes last: the crash is before it takes effect.
  at_rest_ = fence.kind == media::Event::Kind::kMark;
  for (; events_applied_ + 1 < events.size(); ++events_applied_) {
    persistence_->apply(events[events_applied_]);
  }
  ++fences_;
  if (failure_.empty() && states_ < options_.states) {
    explore(persistence_->pending(), *scratch_, states_at_fence(), false);
  }
  persistence_->apply(fence);
  recorder_->clear();
  events_applied_ = 0;
}

uint64_t Explorer::states_at_fence() const {
  constexpr uint64_t kCheapBytes = 32 * kKiB;  // of region contents, read back for each state
  constexpr uint64_t kCheapWords = 512;        // written for each state
  uint64_t content_bytes = 0;
  for (const auto& [name, region] : acknowledged_) content_bytes += region.bytes.size();
  const uint64_t cost =
      1 + content_bytes / kCheapBytes + persistence_->pending().size() / kCheapWords;
  return std::max<uint64_t>(options_.states_per_fence / cost, 8);
}

void Explorer::explore(const std::vector<PendingWord>& pending, Scratch& scratch, uint64_t limit,
                       bool nested) {
  for_each_crash(pending, limit, random_, [&](const std::vector<size_t>& choice) {
    for (size_t word = 0; word < pending.size(); ++word) {
      if (choice[word] == 0) continue;
      scratch.poke(pending[word].media, pending[word].offset, pending[word].values[choice[word]]);
    }
    ++states_;
    nested_states_ += nested;
    if (!nested && states_ % options_.nested_every == 0) explore_recovery(scratch);
    const std::string trouble = judge_crash(scratch, states_ % options_.check_every == 0);
    scratch.rewind();
    if (!trouble.empty()) fail(nested ? "crash inside recovery: " + trouble : trouble);
    return failure_.empty() && (nested || states_ < options_.states);
  });
}

std::string Explorer::judge_crash(Scratch& scratch, bool thorough) {
  const size_t media_count = device_ ? 1 : 2;
  auto first = open_store(scratch_media(scratch, media_count), clock_);
  if (!first.ok()) return "recovery refused: " + first.error().to_string();
  if (std::string trouble = judge(**first); !trouble.empty()) return trouble;
  if (!thorough) return "";
  auto report = (*first)->check();
  if (!report.ok()) return "check failed: " + report.error().to_string();
  if (!report->problems.empty()) return "check found: " + report->problems.front();
  auto once = read_back(**first);
  first->reset();
  auto second = open_store(scratch_media(scratch, media_count), clock_);
  if (!second.ok()) return "second recovery refused: " + second.error().to_string();
  auto twice = read_back(**second);
  if (!once.ok() || !twice.ok() || *once != *twice) return "recovering twice differs from once";
  return "";
}

std::string Explorer::judge(store::Store& store) const {
  const store::RecoveryReport& report = store.recovery();
  if (report.read_only) return "recovery reports damage: " + report.damage;
  // Nothing is under way: both copies of the log hold everything.
  if (at_rest_ && report.records_repaired > 0) return "an acknowledged record is in one copy only";
  auto found = read_back(store);
  if (!found.ok()) return "reading back: " + found.error().to_string();
  if (last_request_ && !store.find_request(last_request_)) return "an applied request is forgotten";
  const uint64_t seen = digest(*found);
  if (seen == acknowledged_digest_ || (in_flight_ && seen == in_flight_digest_)) return "";
  if (acceptable(*found)) return "";
  return "acknowledged state is lost: " + difference(acknowledged_, *found) +
         (in_flight_ ? "; nor is it the state in flight: " + difference(*in_flight_, *found) : "");
}

// A direct write is under way: words of its range may be old or new, everything else is as
// acknowledged.
bool Explorer::acceptable(const Model& found) const {
  if (!in_place_ || !found.contains(in_place_->name)) return false;
  Model mended = found;
  std::string& bytes = mended.at(in_place_->name).bytes;
  const std::string& old = acknowledged_.at(in_place_->name).bytes;
  if (bytes.size() != old.size()) return false;
  std::string next = old;
  next.replace(in_place_->offset, in_place_->bytes.size(), in_place_->bytes);
  for (size_t word = 0; word < bytes.size(); word += 8) {
    if (bytes.compare(word, 8, next, word, 8) == 0) bytes.replace(word, 8, old, word, 8);
  }
  return digest(mended) == acknowledged_digest_;
}

void Explorer::explore_recovery(const Scratch& crashed) {
  const bool was_at_rest = std::exchange(at_rest_, false);
  const Images images = crashed.copy();
  media::Recorder recorder;
  Persistence persistence(images);
  Scratch scratch(images);
  persistence.on_durable = [&](uint8_t media, uint64_t offset, uint64_t value) {
    scratch.settle(media, offset, value);
  };
  persistence.on_resize = [&](uint8_t media, uint64_t bytes) { scratch.settle_size(media, bytes); };
  recorder.on_fence = [&](const media::Event& fence) {
    const std::vector<media::Event> events = recorder.events();
    for (size_t at = 0; at + 1 < events.size(); ++at) persistence.apply(events[at]);
    if (failure_.empty()) explore(persistence.pending(), scratch, kNestedStatesPerFence, true);
    persistence.apply(fence);
    recorder.clear();
  };
  auto recovered = open_store(record(recorder, images), clock_);
  if (!recovered.ok()) fail("recovery refused: " + recovered.error().to_string());
  at_rest_ = was_at_rest;
}

std::optional<std::string> Explorer::run() {
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed_s = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  while (failure_.empty() && states_ < options_.states && elapsed_s() < options_.seconds_max) {
    start_store();
    if (failure_.empty()) {
      Script script(*this, *store_, random_);
      const std::string trouble = script.run([&] {
        return failure_.empty() && states_ < options_.states && elapsed_s() < options_.seconds_max;
      });
      if (!trouble.empty()) fail(trouble);
    }
    finish_store();
  }
  if (failure_.empty()) return std::nullopt;
  return failure_;
}

}  // namespace pmshelf::crash
