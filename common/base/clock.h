// Time sources behind one interface, so that leases and deadlines are testable without sleeping.
#pragma once

#include <cstdint>

namespace pmshelf {

// Thread-safe. `boot_ms` never goes back and goes on during suspend (CLOCK_BOOTTIME): leases,
// deadlines and time-outs use it alone. `unix_ms` is the wall clock: for display and logs only.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t boot_ms() const = 0;
  virtual uint64_t unix_ms() const = 0;
};

// The system's clocks. One object for the whole process, without state.
class SystemClock final : public Clock {
 public:
  uint64_t boot_ms() const override;
  uint64_t unix_ms() const override;
};

// For tests: moves only when told.
class ManualClock final : public Clock {
 public:
  uint64_t boot_ms() const override { return boot_ms_; }
  uint64_t unix_ms() const override { return unix_ms_; }
  void advance_ms(uint64_t ms) {
    boot_ms_ += ms;
    unix_ms_ += ms;
  }
  void set_unix_ms(uint64_t ms) { unix_ms_ = ms; }

 private:
  uint64_t boot_ms_ = 1'000'000;
  uint64_t unix_ms_ = 1'700'000'000'000;
};

}  // namespace pmshelf
