#include "decisions/local_share.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tollgate::decisions {
namespace {

constexpr WindowId kWindow{29'453'760};

TEST(LocalShare, GrantsItsTokensAndNoMore) {
  LocalShare share{100, 64};
  EXPECT_TRUE(share.grant("user", kWindow, 60));
  EXPECT_FALSE(share.grant("user", kWindow, 41));
  EXPECT_TRUE(share.grant("user", kWindow, 40));
  EXPECT_FALSE(share.grant("user", kWindow, 1));
  EXPECT_TRUE(share.grant("user", kWindow, 0));
}

TEST(LocalShare, TakesNothingWhereItRefuses) {
  LocalShare share{100, 64};
  EXPECT_FALSE(share.grant("user", kWindow, 101));
  EXPECT_FALSE(share.grant("user", kWindow, kMaxTokens));
  EXPECT_TRUE(share.grant("user", kWindow, 100));
}

TEST(LocalShare, IsReducedByChargesInRedisInTheSameMinute) {
  LocalShare share{100, 64};
  share.use("user", kWindow, 70);
  EXPECT_FALSE(share.grant("user", kWindow, 31));
  EXPECT_TRUE(share.grant("user", kWindow, 30));
}

TEST(LocalShare, IsZeroOnceRedisChargedMore) {
  LocalShare share{100, 64};
  share.use("user", kWindow, 101);
  EXPECT_FALSE(share.grant("user", kWindow, 1));
  EXPECT_FALSE(share.grant("user", kWindow, 0));
}

TEST(LocalShare, IsFullInTheNextMinute) {
  LocalShare share{100, 64};
  share.use("user", kWindow, 100);
  EXPECT_TRUE(share.grant("user", WindowId{kWindow.number + 1}, 100));
  EXPECT_FALSE(share.grant("user", WindowId{kWindow.number + 1}, 1));
}

TEST(LocalShare, OfNothingGrantsNothing) {
  LocalShare share{0, 64};
  EXPECT_FALSE(share.grant("user", kWindow, 1));
}

TEST(LocalShare, StaysSpentHoweverMuchIsCharged) {
  LocalShare share{kMaxTokens, 1};
  for (int i = 0; i < 2000; ++i) share.use("user", kWindow, kMaxTokens);  // would overflow
  EXPECT_FALSE(share.grant("user", kWindow, 1));
}

TEST(LocalShare, IsSharedByUsersWithTheSameEntrySoThatNoneIsGrantedMore) {
  LocalShare share{100, 1};
  EXPECT_TRUE(share.grant("a", kWindow, 60));
  EXPECT_FALSE(share.grant("b", kWindow, 60));
  EXPECT_TRUE(share.grant("b", kWindow, 40));
  EXPECT_FALSE(share.grant("a", kWindow, 1));
}

TEST(LocalShare, NeverGrantsMoreThanTheShareWhateverIdsArrive) {
  LocalShare share{10, 16};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) static_cast<void>(share.grant("user" + std::to_string(i), kWindow, 1));
  }
  int granted = 0;
  for (int i = 0; i < 1000; ++i) granted += share.grant("user" + std::to_string(i), kWindow, 1) ? 1 : 0;
  EXPECT_EQ(granted, 0);  // all 16 places are spent
}

}  // namespace
}  // namespace tollgate::decisions
