// A registry on a clock that stands still, and short names for what the tests do with it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "server/session/registry.h"

namespace pmshelf::session {

inline constexpr uint8_t kReadRight = 1, kWriteRight = 2;

class RegistryTest : public ::testing::Test {
 protected:
  static RegistryLimits small_limits() {
    RegistryLimits limits;
    limits.sessions_max = 8;
    limits.grants_per_session_max = 4;
    limits.locks_per_session_max = 3;
    limits.session_timeout_ms = 1000;
    limits.lease_ms = 400;
    return limits;
  }

  OpenedSession open_session(const std::string& name) {
    auto opened = registry_.open(Principal{.name = "unix:" + name}, name + " 1234", "local");
    EXPECT_TRUE(opened.ok());
    return *opened;
  }

  wire::GrantId grant(const wire::SessionId& session, const RegionKey& region,
                      uint8_t rights = kReadRight | kWriteRight, uint64_t bytes = 4096,
                      std::shared_ptr<void> resource = nullptr) {
    auto id = registry_.grant(session, {region, bytes, rights, std::move(resource)});
    EXPECT_TRUE(id.ok()) << id.error().to_string();
    return *id;
  }

  Code access_code(const wire::SessionId& session, wire::GrantId id, uint8_t right = kReadRight,
                   uint64_t offset = 0, uint64_t bytes = 1) {
    return registry_.begin_access(session, id, right, offset, bytes).code();
  }

  ManualClock clock_;
  Registry registry_{small_limits(), clock_};
  const RegionKey region_{1, 10, false};
  const RegionKey other_region_{1, 11, false};
};

}  // namespace pmshelf::session
