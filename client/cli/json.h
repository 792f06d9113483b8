// What `--json` prints: one document a command, keys as in pmshelf.1, "JSON". Keys are only ever
// added. Sizes are bytes, times milliseconds since 1970, rights text such as "rw-".
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pmshelf/client.h"

namespace pmshelf::cli {

using Json = nlohmann::ordered_json;

Json to_json(const Space& space);
Json to_json(const ShelfStat& shelf);
// Attribute values that are no UTF-8 stand in "attributes_base64" instead of "attributes".
Json to_json(const RegionStat& region);
Json to_json(const PoolStat& pool);
Json to_json(const ShelfCheck& check);
Json to_json(const SessionStat& session);
Json to_json(const TokenStat& token);
Json to_json(const DaemonStatus& status);

template <class T>
Json to_json(const std::vector<T>& items) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(to_json(item));
  return array;
}

// The text of a document, ended by '\n'; bytes that are no UTF-8 are replaced, never thrown at.
std::string json_text(const Json& document);

// Writes {"shelf": ..., "regions": [...], "more": ...} piece by piece, so that a listing of any
// length needs the memory of one page. Value type.
class RegionListing {
 public:
  // `head` holds the keys before "regions"; not empty.
  std::string begin(const Json& head) const;
  std::string item(const Json& region);
  std::string end(bool more) const;

 private:
  bool first_ = true;
};

}  // namespace pmshelf::cli
