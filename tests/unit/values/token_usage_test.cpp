// The cost of tokens by kind.

#include "tollgate/token_usage.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

TEST(WeightedCost, IsTheNumberOfTokensByDefault) {
  EXPECT_EQ(weighted_cost({.input = 1, .output = 20, .cached = 300, .reasoning = 4000}, {}), 4321);
  EXPECT_EQ(weighted_cost({}, {}), 0);
}

TEST(WeightedCost, WeighsEachKind) {
  const TokenWeights weights{.input = 1000, .output = 4000, .cached = 100, .reasoning = 0};
  EXPECT_EQ(weighted_cost({.input = 1500}, weights), 1500);
  EXPECT_EQ(weighted_cost({.output = 1500}, weights), 6000);
  EXPECT_EQ(weighted_cost({.cached = 1500}, weights), 150);
  EXPECT_EQ(weighted_cost({.reasoning = 1500}, weights), 0);
}

TEST(WeightedCost, IsRoundedUpOnceForAllKinds) {
  const TokenWeights weights{.input = 1, .output = 1, .cached = 1, .reasoning = 1};
  EXPECT_EQ(weighted_cost({.input = 1}, weights), 1);
  EXPECT_EQ(weighted_cost({.input = 250, .output = 250, .cached = 250, .reasoning = 250}, weights), 1);
  EXPECT_EQ(weighted_cost({.input = 250, .output = 250, .cached = 250, .reasoning = 251}, weights), 2);
}

TEST(WeightedCost, IsBoundedByTheLargestCost) {
  constexpr std::int64_t kLargest = TokenWeights::kLargest;
  constexpr TokenWeights kHeavy{.input = kLargest, .output = kLargest, .cached = kLargest, .reasoning = kLargest};
  constexpr TokenUsage kAll{.input = kMaxTokens, .output = kMaxTokens, .cached = kMaxTokens, .reasoning = kMaxTokens};
  static_assert(weighted_cost(kAll, kHeavy) == kMaxTokens);
  EXPECT_EQ(weighted_cost({.input = kMaxTokens}, {}), kMaxTokens);
}

}  // namespace
}  // namespace tollgate
