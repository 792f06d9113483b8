#include "client/cli/rates.h"

#include <cmath>
#include <cstdio>

#include "client/cli/table.h"
#include "client/cli/text.h"

namespace pmshelf::cli {
namespace {

std::string plain_rate(double per_second) {
  char buffer[32];
  const bool fraction = per_second < 100 && std::fabs(per_second - std::round(per_second)) > 0.05;
  std::snprintf(buffer, sizeof buffer, fraction ? "%.1f/s" : "%.0f/s", per_second);
  return buffer;
}

}  // namespace

std::vector<CounterRate> counter_rates(const Counters& before, const Counters& after,
                                       std::chrono::nanoseconds elapsed) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  std::vector<CounterRate> rates;
  for (const auto& [name, total] : after) {
    const auto earlier = before.find(name);
    const bool rose = earlier != before.end() && earlier->second <= total;
    const uint64_t change = total - (rose ? earlier->second : 0);
    rates.push_back({name, total, static_cast<double>(change) / seconds});
  }
  return rates;
}

std::string rates_text(const std::vector<CounterRate>& rates) {
  Table table(
      {{"COUNTER", Align::kLeft, 32}, {"TOTAL", Align::kRight, 12}, {"RATE", Align::kRight, 12}});
  for (const CounterRate& rate : rates) {
    const bool bytes = rate.name.find("bytes") != std::string::npos;
    table.add({rate.name, bytes ? human_bytes(rate.total) : std::to_string(rate.total),
               bytes ? human_rate(rate.per_second) : plain_rate(rate.per_second)});
  }
  return table.text();
}

Json rates_json(const std::vector<CounterRate>& rates) {
  Json object = Json::object();
  for (const CounterRate& rate : rates) {
    object[rate.name] = {{"total", rate.total}, {"per_second", rate.per_second}};
  }
  return object;
}

}  // namespace pmshelf::cli
