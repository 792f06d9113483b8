// Promises of the gate: closing waits for calls, refuses while regions are open, and is final.
#include "server/pool/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace pmshelf::pool {
namespace {

TEST(Gate, CloseWaitsForRunningCallsAndKeepsNewOnesOut) {
  Gate gate;
  ASSERT_TRUE(gate.enter().ok());
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    EXPECT_TRUE(gate.close().ok());
    closed = true;
  });
  for (;;) {  // until the closer has begun
    const Status entered = gate.enter();
    if (!entered.ok()) {
      EXPECT_EQ(entered.code(), Code::kUnavailable);
      break;
    }
    gate.leave();
  }
  EXPECT_FALSE(closed);
  gate.leave();
  closer.join();
  EXPECT_TRUE(closed);
  EXPECT_EQ(gate.enter().code(), Code::kUnavailable);
}

TEST(Gate, CloseIsBusyWhileRegionsAreHeldAndLeavesTheGateOpen) {
  Gate gate;
  gate.hold();
  gate.hold();
  const Status busy = gate.close();
  ASSERT_EQ(busy.code(), Code::kBusy);
  EXPECT_NE(busy.error().message().find("2 of its regions"), std::string::npos);
  EXPECT_TRUE(gate.enter().ok());
  gate.leave();
  gate.drop();
  EXPECT_EQ(gate.close().code(), Code::kBusy);
  gate.drop();
  EXPECT_TRUE(gate.close().ok());
}

TEST(Gate, ReopensAfterAClosingThatCameToNothing) {
  Gate gate;
  ASSERT_TRUE(gate.close().ok());
  gate.reopen();
  EXPECT_TRUE(gate.enter().ok());
}

TEST(Gate, ShutIsForGood) {
  Gate gate;
  ASSERT_TRUE(gate.close().ok());
  gate.shut();
  EXPECT_EQ(gate.enter().code(), Code::kNotFound);
  EXPECT_EQ(gate.close().code(), Code::kNotFound);
}

}  // namespace
}  // namespace pmshelf::pool
