#include "redis/yields.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

using namespace std::chrono_literals;

constexpr Yields::Time kNow{1h};

TEST(Yields, AreWorthwhileUntilOneTakesTooLong) {
  Yields yields;
  EXPECT_TRUE(yields.worthwhile(kNow));
  yields.note(kNow, kNow + Yields::kTooLong - 1ns);
  EXPECT_TRUE(yields.worthwhile(kNow + Yields::kTooLong));
  yields.note(kNow, kNow + Yields::kTooLong);
  EXPECT_FALSE(yields.worthwhile(kNow + Yields::kTooLong));
}

TEST(Yields, AreTriedAgainAfterAPause) {
  Yields yields;
  const auto ended = kNow + 2 * Yields::kTooLong;
  yields.note(kNow, ended);
  EXPECT_FALSE(yields.worthwhile(ended + Yields::kPause - 1ns));
  EXPECT_TRUE(yields.worthwhile(ended + Yields::kPause));
}

TEST(Yields, StayOffWhileSomeStillTakeTooLong) {
  Yields yields;
  yields.note(kNow, kNow + Yields::kTooLong);
  const auto later = kNow + Yields::kPause;  // one that had begun before
  yields.note(later - Yields::kTooLong, later);
  EXPECT_FALSE(yields.worthwhile(later + Yields::kPause - 1ns));
}

}  // namespace
}  // namespace tollgate
