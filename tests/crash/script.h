// Random operations on a store, each with what it means on the model.
#pragma once

#include <functional>
#include <random>
#include <string>

#include "tests/crash/explorer.h"
#include "tests/crash/model.h"

namespace pmshelf::crash {

// One run on one store. Small regions mostly, sometimes pages and whole extents, so that every
// kind of space is reused; batches, replacements, transactions, direct writes, compaction.
class Script {
 public:
  Script(Explorer& explorer, store::Store& store, std::mt19937_64& random)
      : explorer_(explorer), store_(store), random_(random) {}

  // Up to kOperations steps, while `go_on()`. Returns what went wrong outside a crash, or "".
  std::string run(const std::function<bool()>& go_on);

 private:
  static constexpr int kOperations = 200;
  static constexpr size_t kRegionsMax = 12;

  std::string make_shelf();
  std::string step();
  // Each stages its change and changes `next`; an expected refusal leaves both as they were.
  Status create(Model& next, const store::Request& request);
  Status erase(Model& next, const store::Request& request);
  Status rename(Model& next, const store::Request& request);
  Status swap(Model& next, const store::Request& request);
  Status resize(Model& next, const store::Request& request);
  Status set_attributes(Model& next, const store::Request& request);
  Status publish(Model& next, const store::Request& request);
  std::string batch();
  std::string transact();
  std::string write_in_place();

  uint64_t below(uint64_t bound) { return random_() % bound; }
  std::string any_name() const;
  std::string new_name();
  std::string random_bytes(uint64_t bytes);
  std::string random_attributes(uint64_t bytes_max);
  uint64_t random_length();
  store::Request new_request();
  Result<store::RegionInfo> find(const std::string& name) { return store_.find(shelf_, name); }

  Explorer& explorer_;
  store::Store& store_;
  std::mt19937_64& random_;
  store::ShelfId shelf_ = 0;
  Model model_;
};

}  // namespace pmshelf::crash
