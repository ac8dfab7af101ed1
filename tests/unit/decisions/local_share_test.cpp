#include "decisions/local_share.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tollgate::decisions {
namespace {

constexpr std::int64_t kMinute = 29'453'760;

TEST(LocalShare, GrantsItsTokensAndNoMore) {
  LocalShare share{100, 64};
  EXPECT_TRUE(share.grant("user", kMinute, 60));
  EXPECT_FALSE(share.grant("user", kMinute, 41));
  EXPECT_TRUE(share.grant("user", kMinute, 40));
  EXPECT_FALSE(share.grant("user", kMinute, 1));
  EXPECT_TRUE(share.grant("user", kMinute, 0));
}

TEST(LocalShare, TakesNothingWhereItRefuses) {
  LocalShare share{100, 64};
  EXPECT_FALSE(share.grant("user", kMinute, 101));
  EXPECT_FALSE(share.grant("user", kMinute, kMaxTokens));
  EXPECT_TRUE(share.grant("user", kMinute, 100));
}

TEST(LocalShare, IsLessWhatRedisChargedInTheSameMinute) {
  LocalShare share{100, 64};
  share.use("user", kMinute, 70);
  EXPECT_FALSE(share.grant("user", kMinute, 31));
  EXPECT_TRUE(share.grant("user", kMinute, 30));
}

TEST(LocalShare, IsGoneOnceRedisChargedMore) {
  LocalShare share{100, 64};
  share.use("user", kMinute, 101);
  EXPECT_FALSE(share.grant("user", kMinute, 1));
  EXPECT_FALSE(share.grant("user", kMinute, 0));
}

TEST(LocalShare, IsWholeInTheNextMinute) {
  LocalShare share{100, 64};
  share.use("user", kMinute, 100);
  EXPECT_TRUE(share.grant("user", kMinute + 1, 100));
  EXPECT_FALSE(share.grant("user", kMinute + 1, 1));
}

TEST(LocalShare, OfNothingGrantsNothing) {
  LocalShare share{0, 64};
  EXPECT_FALSE(share.grant("user", kMinute, 1));
}

TEST(LocalShare, StaysSpentHoweverMuchIsCharged) {
  LocalShare share{kMaxTokens, 1};
  for (int i = 0; i < 2000; ++i) share.use("user", kMinute, kMaxTokens);  // would overflow
  EXPECT_FALSE(share.grant("user", kMinute, 1));
}

TEST(LocalShare, IsOneForAllWhoMeetInAPlaceSoThatNobodyIsGrantedMore) {
  LocalShare share{100, 1};
  EXPECT_TRUE(share.grant("a", kMinute, 60));
  EXPECT_FALSE(share.grant("b", kMinute, 60));
  EXPECT_TRUE(share.grant("b", kMinute, 40));
  EXPECT_FALSE(share.grant("a", kMinute, 1));
}

TEST(LocalShare, NeverGrantsMoreThanTheShareWhateverIdsArrive) {
  LocalShare share{10, 16};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) static_cast<void>(share.grant("user" + std::to_string(i), kMinute, 1));
  }
  int granted = 0;
  for (int i = 0; i < 1000; ++i) granted += share.grant("user" + std::to_string(i), kMinute, 1) ? 1 : 0;
  EXPECT_EQ(granted, 0);  // all 16 places are spent
}

}  // namespace
}  // namespace tollgate::decisions
