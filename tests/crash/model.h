// What the store must hold, kept by plain containers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pmshelf/result.h"
#include "server/store/store.h"

namespace pmshelf::crash {

struct ModelRegion {
  std::string bytes;
  std::string attributes;
  bool operator==(const ModelRegion&) const = default;
};

// Regions of the one shelf of the test store.
using Model = std::map<std::string, ModelRegion>;

// A digest of everything that a client could tell two states apart by.
uint64_t digest(const Model& model);

// Reads a recovered store as a model. Errors of the store's own reads.
Result<Model> read_back(store::Store& store);

// Names the first difference, or "" when there is none.
std::string difference(const Model& expected, const Model& found);

}  // namespace pmshelf::crash
