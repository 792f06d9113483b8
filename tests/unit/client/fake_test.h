// A client of a FakeDaemon, connected.
#pragma once

#include <gtest/gtest.h>

#include "client/src/client.h"
#include "tests/unit/client/fake_daemon.h"

namespace pmshelf::client {

class FakeDaemonTest : public testing::Test {
 protected:
  Client connect(const ConnectOptions& options) {
    auto core = Core::connect(options, Environment{}, daemon_.dialer());
    EXPECT_TRUE(core.ok()) << core.error().to_string();
    return make_client(*std::move(core));
  }
  Client connect() { return connect(daemon_.options()); }

  Shelf shelf(const Client& client) {
    auto opened = client.open_shelf("s");
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return *std::move(opened);
  }
  Region region(const Client& client, uint64_t bytes, const std::string& name = "r") {
    auto made = shelf(client).create_region(name, bytes);
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return *std::move(made);
  }
  static std::vector<std::byte> pattern(size_t bytes, uint8_t seed = 1) {
    std::vector<std::byte> made(bytes);
    for (size_t index = 0; index < bytes; ++index) {
      made[index] = static_cast<std::byte>(seed + index * 7 + index / 251);
    }
    return made;
  }

  FakeDaemon daemon_;
};

}  // namespace pmshelf::client
