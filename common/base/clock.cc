#include "common/base/clock.h"

#include <ctime>

namespace pmshelf {
namespace {

uint64_t read_ms(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

}  // namespace

uint64_t SystemClock::boot_ms() const { return read_ms(CLOCK_BOOTTIME); }
uint64_t SystemClock::unix_ms() const { return read_ms(CLOCK_REALTIME); }

}  // namespace pmshelf
