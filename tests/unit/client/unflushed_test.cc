#include "client/src/unflushed.h"

#include <gtest/gtest.h>

namespace pmshelf::client {
namespace {

TEST(Unflushed, FlushByTheDaemonThatTookTheBytesIsFine) {
  Unflushed unflushed;
  EXPECT_TRUE(unflushed.may_flush(0, 100, 1).ok());
  unflushed.written(10, 5, 1);
  EXPECT_TRUE(unflushed.may_flush(0, 100, 1).ok());
}

TEST(Unflushed, FlushByALaterDaemonIsRefusedOnce) {
  Unflushed unflushed;
  unflushed.written(10, 5, 1);
  EXPECT_TRUE(unflushed.may_flush(0, 10, 2).ok());   // ends before
  EXPECT_TRUE(unflushed.may_flush(15, 10, 2).ok());  // begins after
  EXPECT_EQ(unflushed.may_flush(14, 1, 2).code(), Code::kUnknownOutcome);
  EXPECT_EQ(unflushed.may_flush(0, 100, 2).code(), Code::kUnknownOutcome);
  EXPECT_TRUE(unflushed.may_flush(0, 100, 2).ok());
}

TEST(Unflushed, FlushedBytesAreForgotten) {
  Unflushed unflushed;
  unflushed.written(10, 10, 1);
  unflushed.flushed(0, 15);
  EXPECT_TRUE(unflushed.may_flush(10, 5, 2).ok());
  EXPECT_EQ(unflushed.may_flush(10, 6, 2).code(), Code::kUnknownOutcome);
  Unflushed whole;
  whole.written(10, 10, 1);
  whole.flushed(10, 10);
  EXPECT_TRUE(whole.may_flush(0, 100, 2).ok());
}

TEST(Unflushed, FlushOfTheMiddleForgetsNothing) {
  Unflushed unflushed;
  unflushed.written(0, 100, 1);
  unflushed.flushed(40, 20);
  EXPECT_EQ(unflushed.may_flush(90, 1, 2).code(), Code::kUnknownOutcome);
}

TEST(Unflushed, WritesThroughTwoDaemonsCountAsTheOlder) {
  Unflushed unflushed;
  unflushed.written(0, 10, 1);
  unflushed.written(20, 10, 2);
  EXPECT_EQ(unflushed.may_flush(0, 30, 2).code(), Code::kUnknownOutcome);
}

TEST(Unflushed, NoBytesAreNoWrite) {
  Unflushed unflushed;
  unflushed.written(5, 0, 1);
  EXPECT_TRUE(unflushed.may_flush(0, 10, 2).ok());
}

}  // namespace
}  // namespace pmshelf::client
