#include "tests/crash/model.h"

#include <xxhash.h>

namespace pmshelf::crash {
namespace {

uint64_t mix(uint64_t state, const std::string& text) {
  const uint64_t length = text.size();
  return XXH3_64bits_withSeed(text.data(), text.size(), XXH3_64bits_withSeed(&length, 8, state));
}

}  // namespace

uint64_t digest(const Model& model) {
  uint64_t state = model.size();
  for (const auto& [name, region] : model) {
    state = mix(mix(mix(state, name), region.bytes), region.attributes);
  }
  return state;
}

Result<Model> read_back(store::Store& store) {
  Model model;
  Status status;
  std::vector<store::RegionInfo> regions;
  for (const store::ShelfInfo& shelf : store.shelves()) {
    store.scan(shelf.id, "", "", true, [&](const store::RegionInfo& info) {
      regions.push_back(info);
      return true;
    });
  }
  for (const store::RegionInfo& info : regions) {
    ModelRegion region;
    region.bytes.resize(info.bytes);
    const std::span<std::byte> target(reinterpret_cast<std::byte*>(region.bytes.data()),
                                      info.bytes);
    PMSHELF_TRY(store.data().read(info.offset, target));
    PMSHELF_TRY_ASSIGN(region.attributes, store.attributes(info.id));
    model.emplace(info.name, std::move(region));
  }
  return model;
}

std::string difference(const Model& expected, const Model& found) {
  for (const auto& [name, region] : expected) {
    const auto other = found.find(name);
    if (other == found.end()) return "region '" + name + "' is missing";
    if (other->second.attributes != region.attributes) return "attributes of '" + name + "' differ";
    if (other->second.bytes.size() != region.bytes.size())
      return "length of '" + name + "' differs";
    if (other->second.bytes != region.bytes) return "bytes of '" + name + "' differ";
  }
  for (const auto& [name, region] : found) {
    if (!expected.contains(name)) return "region '" + name + "' should not be there";
  }
  return "";
}

}  // namespace pmshelf::crash
