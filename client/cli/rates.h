// Counters of the daemon and how fast they rise: the content of `pmshelf top`.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/cli/json.h"

namespace pmshelf::cli {

struct CounterRate {
  std::string name;
  uint64_t total = 0;
  double per_second = 0;
};

using Counters = std::map<std::string, uint64_t>;

// Ascending by name. A counter that fell (the daemon restarted) or is new counts from 0.
// Precondition: elapsed > 0.
std::vector<CounterRate> counter_rates(const Counters& before, const Counters& after,
                                       std::chrono::nanoseconds elapsed);

// Counters with "bytes" in the name are written as sizes.
std::string rates_text(const std::vector<CounterRate>& rates);
Json rates_json(const std::vector<CounterRate>& rates);

}  // namespace pmshelf::cli
