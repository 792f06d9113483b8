#include "tests/crash/persistence.h"

#include <algorithm>
#include <cstring>

namespace pmshelf::crash {
namespace {

uint64_t key_of(uint8_t media, uint64_t offset) { return (offset << 1) | media; }

// Total number of combinations, or limit + 1 when there are more.
uint64_t combinations(const std::vector<PendingWord>& pending, uint64_t limit) {
  uint64_t total = 1;
  for (const PendingWord& word : pending) {
    total *= word.values.size();
    if (total > limit) return limit + 1;
  }
  return total;
}

uint64_t visit_all(const std::vector<PendingWord>& pending,
                   const std::function<bool(const std::vector<size_t>&)>& visit) {
  std::vector<size_t> choice(pending.size(), 0);
  uint64_t visited = 0;
  while (true) {
    ++visited;
    if (!visit(choice)) return visited;
    size_t digit = 0;
    while (digit < choice.size() && ++choice[digit] == pending[digit].values.size()) {
      choice[digit++] = 0;
    }
    if (digit == choice.size()) return visited;
  }
}

// The n-th of the structured choices, which come before the random ones.
std::vector<size_t> structured(const std::vector<PendingWord>& pending, uint64_t n) {
  const size_t count = pending.size();
  std::vector<size_t> choice(count, 0);
  const auto last = [&](size_t word) { return pending[word].values.size() - 1; };
  if (n < count) {  // one word alone
    choice[n] = last(n);
  } else if (n < 2 * count) {  // one word missing
    for (size_t word = 0; word < count; ++word) choice[word] = last(word);
    choice[n - count] = 0;
  } else {  // the first words in order of their first store
    for (size_t word = 0; word < n - 2 * count && word < count; ++word) choice[word] = last(word);
  }
  return choice;
}

// Each word by a coin of its own; some crashes keep much, some keep little.
std::vector<size_t> scattered(const std::vector<PendingWord>& pending, std::mt19937_64& random) {
  std::vector<size_t> choice(pending.size(), 0);
  const uint64_t density = random() % 8 + 1;
  for (size_t word = 0; word < pending.size(); ++word) {
    if (random() % 9 < density) choice[word] = random() % pending[word].values.size();
  }
  return choice;
}

// Everything in one range of addresses is on media and nothing else, or the other way round: one
// structure made it, another did not.
std::vector<size_t> clustered(const std::vector<PendingWord>& pending, std::mt19937_64& random) {
  const PendingWord& a = pending[random() % pending.size()];
  const PendingWord& b = pending[random() % pending.size()];
  const uint64_t low = std::min(a.offset, b.offset), high = std::max(a.offset, b.offset);
  const bool inside_survives = random() % 2 == 0;
  std::vector<size_t> choice(pending.size(), 0);
  for (size_t word = 0; word < pending.size(); ++word) {
    const bool inside = pending[word].offset >= low && pending[word].offset <= high;
    if (inside == inside_survives) choice[word] = pending[word].values.size() - 1;
  }
  return choice;
}

// Half of the sample is structured, from a random place on when it does not fit; the rest random.
uint64_t visit_sample(const std::vector<PendingWord>& pending, uint64_t limit,
                      std::mt19937_64& random,
                      const std::function<bool(const std::vector<size_t>&)>& visit) {
  const uint64_t structured_count = 3 * pending.size() + 1;
  const uint64_t structured_limit = std::min(structured_count, limit / 2);
  const uint64_t first = random() % (structured_count - structured_limit + 1);
  for (uint64_t n = 0; n < limit; ++n) {
    const bool go_on = n < structured_limit ? visit(structured(pending, first + n))
                       : n % 2 == 0         ? visit(scattered(pending, random))
                                            : visit(clustered(pending, random));
    if (!go_on) return n + 1;
  }
  return limit;
}

}  // namespace

void Persistence::store(const media::Event& event) {
  const uint64_t key = key_of(event.media, event.offset);
  const auto [found, made] = index_.try_emplace(key, pending_.size());
  if (made) {
    uint64_t before = 0;
    std::memcpy(&before, durable_[event.media].data() + event.offset, sizeof before);
    pending_.push_back(PendingWord{event.media, event.offset, 0, {before}});
  }
  PendingWord& word = pending_[found->second];
  if (word.values.back() != event.value) word.values.push_back(event.value);
}

void Persistence::flush(const media::Event& event) {
  const uint64_t begin = event.offset / kLineBytes * kLineBytes;
  const uint64_t end = event.offset + event.value;
  for (PendingWord& word : pending_) {
    if (word.media == event.media && word.offset >= begin &&
        word.offset / kLineBytes * kLineBytes < end) {
      word.flushed = word.values.size() - 1;
    }
  }
}

void Persistence::drain(uint8_t media) {
  for (PendingWord& word : pending_) {
    if (word.media != media || word.flushed == 0) continue;
    word.values.erase(word.values.begin(), word.values.begin() + static_cast<long>(word.flushed));
    word.flushed = 0;
    std::memcpy(durable_[media].data() + word.offset, &word.values[0], sizeof(uint64_t));
    if (on_durable) on_durable(media, word.offset, word.values[0]);
  }
  std::erase_if(pending_, [](const PendingWord& word) { return word.values.size() == 1; });
  index_.clear();
  for (size_t at = 0; at < pending_.size(); ++at) {
    index_.emplace(key_of(pending_[at].media, pending_[at].offset), at);
  }
}

void Persistence::apply(const media::Event& event) {
  switch (event.kind) {
    case media::Event::Kind::kStore8:
      store(event);
      break;
    case media::Event::Kind::kFlush:
      flush(event);
      break;
    case media::Event::Kind::kDrain:
      drain(event.media);
      break;
    case media::Event::Kind::kResize:
      durable_[event.media].resize(event.offset);
      if (on_resize) on_resize(event.media, event.offset);
      break;
    case media::Event::Kind::kMark:
      break;
  }
}

uint64_t for_each_crash(const std::vector<PendingWord>& pending, uint64_t limit,
                        std::mt19937_64& random,
                        const std::function<bool(const std::vector<size_t>&)>& visit) {
  if (combinations(pending, limit) <= limit) return visit_all(pending, visit);
  return visit_sample(pending, limit, random, visit);
}

}  // namespace pmshelf::crash
