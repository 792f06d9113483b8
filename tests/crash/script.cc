#include "tests/crash/script.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "common/base/attributes.h"
#include "common/base/units.h"

namespace pmshelf::crash {
namespace {

std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Refusals that a full or busy store may give at any time.
bool refusal(Code code) {
  return code == Code::kNoSpace || code == Code::kAlreadyExists || code == Code::kBusy;
}

}  // namespace

std::string Script::any_name() const {
  if (model_.empty()) return "";
  return std::next(model_.begin(), static_cast<long>(random_() % model_.size()))->first;
}

std::string Script::new_name() {
  std::string name = "r" + std::to_string(below(30));
  if (below(8) == 0) name += std::string(below(300), 'n');
  return name;
}

std::string Script::random_bytes(uint64_t bytes) {
  std::string text(bytes, '\0');
  for (size_t at = 0; at < text.size(); at += 8) {
    const uint64_t word = random_();
    text.replace(at, std::min<size_t>(8, text.size() - at), reinterpret_cast<const char*>(&word),
                 std::min<size_t>(8, text.size() - at));
  }
  return text;
}

// One encoded attribute (docs/format.md, "Attributes").
std::string Script::random_attributes(uint64_t bytes_max) {
  return *encode_attributes({{"k", random_bytes(below(bytes_max))}});
}

uint64_t Script::random_length() {
  switch (below(16)) {
    case 0:
      return 0;
    case 1:
      return 4096 + below(8192);
    case 2:
      return below(32) == 0 ? 2 * kMiB + below(kMiB) : below(64);
    case 3:
      return 1000 + below(3000);
    default:
      return 1 + below(300);
  }
}

// Most without an id: remembered ids make the log, and so each recovery, long.
store::Request Script::new_request() {
  if (below(6) != 0) return {};
  return {{random_() | 1, random_()}, random_()};
}

std::string Script::make_shelf() {
  store::ShelfInfo info;
  info.name = "s";
  info.owner = "unix:test";
  info.capacity_bytes = store_.space().capacity_bytes / store::kExtentBytes * store::kExtentBytes;
  auto shelf = store_.create_shelf(info, {});
  if (!shelf.ok()) return "create_shelf: " + shelf.error().to_string();
  shelf_ = *shelf;
  if (Status synced = store_.sync(); !synced.ok()) return "sync: " + synced.error().to_string();
  explorer_.acknowledge(model_, {});
  return "";
}

Status Script::create(Model& next, const store::Request& request) {
  const std::string name = new_name();
  const std::string attributes = below(3) == 0 ? random_attributes(200) : "";
  const uint64_t bytes = random_length();
  auto made = store_.create(shelf_, name, bytes, attributes, request);
  if (!made.ok()) return std::move(made).error();
  next[name] = ModelRegion{std::string(bytes, '\0'), attributes};
  return {};
}

Status Script::erase(Model& next, const store::Request& request) {
  const std::string name = any_name();
  auto info = find(name);
  if (!info.ok()) return std::move(info).error();
  PMSHELF_TRY(store_.erase(info->id, request));
  next.erase(name);
  return {};
}

Status Script::rename(Model& next, const store::Request& request) {
  const std::string from = any_name();
  const std::string to = new_name();
  auto info = find(from);
  if (!info.ok()) return std::move(info).error();
  PMSHELF_TRY(store_.rename(info->id, to, below(2) == 0, request));
  ModelRegion region = next.at(from);
  next.erase(from);
  next[to] = std::move(region);
  return {};
}

Status Script::swap(Model& next, const store::Request& request) {
  const std::string a = any_name();
  const std::string b = any_name();
  if (a == b) return Error(Code::kBusy, "one region only");
  auto first = find(a);
  auto second = find(b);
  if (!first.ok() || !second.ok()) return Error(Code::kInternal, "a live region was not found");
  PMSHELF_TRY(store_.swap(first->id, second->id, request));
  std::swap(next.at(a), next.at(b));
  return {};
}

Status Script::resize(Model& next, const store::Request& request) {
  const std::string name = any_name();
  auto info = find(name);
  if (!info.ok()) return std::move(info).error();
  const uint64_t bytes = random_length();
  PMSHELF_TRY(store_.resize(info->id, bytes, request));
  next.at(name).bytes.resize(bytes, '\0');
  return {};
}

Status Script::set_attributes(Model& next, const store::Request& request) {
  const std::string name = any_name();
  auto info = find(name);
  if (!info.ok()) return std::move(info).error();
  const std::string attributes = random_attributes(300);
  PMSHELF_TRY(store_.set_attributes(info->id, attributes, request));
  next.at(name).attributes = attributes;
  return {};
}

// Staged regions, written and flushed, then named together.
Status Script::publish(Model& next, const store::Request& request) {
  std::vector<store::Publish> items;
  Model named;
  const size_t count = 1 + below(3);
  Status trouble;
  while (items.size() < count && trouble.ok()) {
    const std::string name = new_name();
    if (named.contains(name)) continue;
    const std::string bytes = random_bytes(random_length());
    auto staged = store_.reserve(shelf_, bytes.size(), below(2) == 0);
    if (!staged.ok()) {
      trouble = std::move(staged).error();
      break;
    }
    items.push_back(store::Publish{staged->id, name, random_attributes(60), true, 0});
    named[name] = ModelRegion{bytes, items.back().attributes};
    trouble = store_.data().store(staged->offset, as_bytes(bytes));
    if (trouble.ok()) trouble = store_.data().flush(staged->offset, bytes.size());
    if (trouble.ok()) trouble = store_.data().drain();
  }
  if (trouble.ok()) {
    auto published = store_.publish(shelf_, items, request);
    if (!published.ok()) trouble = std::move(published).error();
  }
  if (!trouble.ok()) {
    for (const store::Publish& item : items) store_.release(item.staged);
    return trouble;
  }
  for (auto& [name, region] : named) next[name] = std::move(region);
  return {};
}

// One to four mutations in one record.
std::string Script::batch() {
  using Mutation = Status (Script::*)(Model&, const store::Request&);
  static constexpr Mutation kMutations[] = {
      &Script::create, &Script::create,  &Script::erase,          &Script::rename, &Script::swap,
      &Script::resize, &Script::publish, &Script::set_attributes, &Script::publish};
  store::RequestId last;
  bool changed = false;
  const uint64_t count = below(3) == 0 ? 1 + below(4) : 1;
  for (uint64_t n = 0; n < count; ++n) {
    Mutation mutation = kMutations[below(std::size(kMutations))];
    if (model_.empty()) mutation = &Script::create;
    if (model_.size() > kRegionsMax) mutation = &Script::erase;
    const store::Request request = new_request();
    Model next = model_;
    const Status done = (this->*mutation)(next, request);
    if (!done.ok() && !refusal(done.code())) return done.error().to_string();
    if (done.ok()) {
      model_ = std::move(next);
      if (request.id) last = request.id;
      changed = true;
    }
  }
  explorer_.set_in_flight(model_);
  if (Status synced = store_.sync(); !synced.ok()) return "sync: " + synced.error().to_string();
  if (changed) explorer_.acknowledge(model_, last);
  return "";
}

std::string Script::transact() {
  Model next = model_;
  std::vector<std::string> contents;
  std::vector<store::WriteRange> ranges;
  std::set<std::string> used;  // ranges must not overlap: one to a region
  for (uint64_t n = 0; n < 1 + below(3); ++n) {
    const std::string name = any_name();
    if (model_.at(name).bytes.empty() || !used.insert(name).second) continue;
    const uint64_t offset = below(model_.at(name).bytes.size());
    const uint64_t length =
        1 + below(std::min<uint64_t>(200, model_.at(name).bytes.size() - offset));
    contents.push_back(random_bytes(length));
    next.at(name).bytes.replace(offset, length, contents.back());
    ranges.push_back(store::WriteRange{find(name)->id, offset, {}});
  }
  if (ranges.empty()) return "";
  for (size_t at = 0; at < ranges.size(); ++at) ranges[at].bytes = as_bytes(contents[at]);
  const store::Request request = new_request();
  explorer_.set_in_flight(next);
  const Status done = store_.transact(ranges, request);
  if (!done.ok()) return refusal(done.code()) ? "" : "transact: " + done.error().to_string();
  model_ = std::move(next);
  explorer_.acknowledge(model_, request.id);
  return "";
}

std::string Script::write_in_place() {
  const std::string name = any_name();
  std::string& bytes = model_.at(name).bytes;
  if (bytes.empty()) return "";
  const uint64_t offset = below(bytes.size());
  const uint64_t length = 1 + below(std::min<uint64_t>(100, bytes.size() - offset));
  const std::string content = random_bytes(length);
  explorer_.set_in_place(name, offset, content);
  const uint64_t place = find(name)->offset + offset;
  media::Media& data = store_.data();
  if (!data.store(place, as_bytes(content)).ok() || !data.flush(place, length).ok() ||
      !data.drain().ok()) {
    return "a direct write failed";
  }
  bytes.replace(offset, length, content);
  explorer_.acknowledge(model_, {});
  return "";
}

std::string Script::step() {
  const uint64_t kind = model_.empty() ? 9 : below(10);
  if (kind == 0) return transact();
  if (kind == 1) return write_in_place();
  if (kind == 2 && below(6) == 0) {
    const Status compacted = store_.compact();
    return compacted.ok() ? "" : "compact: " + compacted.error().to_string();
  }
  return batch();
}

std::string Script::run(const std::function<bool()>& go_on) {
  std::string trouble = make_shelf();
  for (int n = 0; n < kOperations && trouble.empty() && go_on(); ++n) trouble = step();
  return trouble;
}

}  // namespace pmshelf::crash
