#include "transport/yields.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

using namespace std::chrono_literals;

constexpr Yields::Time kNow{1h};
constexpr Yields::Time kFar = kNow + 1h;

TEST(Yields, ContinueWhileTheyAreShort) {
  Yields yields;
  EXPECT_TRUE(yields.may_go_on(kNow, kNow + Yields::kPatience - 1ns, 1));
  EXPECT_TRUE(yields.may_go_on(kNow, kNow + 20 * Yields::kLong - 1ns, 20));
  EXPECT_TRUE(yields.worthwhile(kNow + Yields::kPatience, kFar));
}

TEST(Yields, PauseForAllOnceTheyAreLong) {
  for (const int count : {1, 20}) {
    Yields yields;
    const auto ended = kNow + std::max<Yields::Time::duration>(Yields::kPatience, count * Yields::kLong);
    EXPECT_FALSE(yields.may_go_on(kNow, ended, count));
    EXPECT_FALSE(yields.worthwhile(ended, kFar));
    EXPECT_FALSE(yields.worthwhile(ended + Yields::kPause - 1ns, kFar));
    EXPECT_TRUE(yields.worthwhile(ended + Yields::kPause, kFar));
  }
}

TEST(Yields, AreNotForADeadlineThatIsNear) {
  const Yields yields;
  const auto near = kNow + Yields::kPerWait * Yields::kLong;
  EXPECT_FALSE(yields.worthwhile(kNow, near));
  EXPECT_TRUE(yields.worthwhile(kNow, near + 1ns));
  EXPECT_FALSE(yields.worthwhile(kNow, kNow - 1h));
}

}  // namespace
}  // namespace tollgate
