#include "redis/yields.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

using namespace std::chrono_literals;

constexpr Yields::Time kNow{1h};
constexpr Yields::Time kFar = kNow + 1h;

TEST(Yields, GoOnForAWhile) {
  Yields yields;
  EXPECT_TRUE(yields.worthwhile(kNow, kFar));
  EXPECT_TRUE(yields.may_go_on(kNow, kNow + Yields::kTooLong - 1ns));
  EXPECT_TRUE(yields.worthwhile(kNow + Yields::kTooLong, kFar));
}

TEST(Yields, PauseForAllOnceAWaitHasYieldedForTooLong) {
  Yields yields;
  const auto ended = kNow + Yields::kTooLong;
  EXPECT_FALSE(yields.may_go_on(kNow, ended));
  EXPECT_FALSE(yields.worthwhile(ended, kFar));
  EXPECT_FALSE(yields.worthwhile(ended + Yields::kPause - 1ns, kFar));
  EXPECT_TRUE(yields.worthwhile(ended + Yields::kPause, kFar));
}

TEST(Yields, AreNotForADeadlineThatIsNear) {
  const Yields yields;
  EXPECT_FALSE(yields.worthwhile(kNow, kNow + Yields::kTooLong));
  EXPECT_TRUE(yields.worthwhile(kNow, kNow + Yields::kTooLong + 1ns));
  EXPECT_FALSE(yields.worthwhile(kNow, kNow - 1h));
}

}  // namespace
}  // namespace tollgate
