#include "clients/slot_map_refresh.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

namespace tollgate {
namespace {

using namespace std::chrono_literals;

class SlotMapRefreshIntervals : public ::testing::Test {
 protected:
  /// When the next refresh is due, counted from when the last one ended. Loosely: the machine may be slow.
  SlotMapRefresh::Time next() {
    refresh_.request();
    return refresh_.next().value();
  }

  ClusterNodes nodes_{[](const HostAndPort&) { return std::unique_ptr<Node>{}; }};
  SlotMapRefresh refresh_{nodes_, {}, false, 100ms};
};

TEST_F(SlotMapRefreshIntervals, GrowWhileTheMapStaysTheSame) {
  refresh_.has_used_map(true);
  const auto first = next();
  refresh_.has_used_map(false);
  const auto second = next();
  EXPECT_GE(second - first, SlotMapRefresh::kShortestInterval);
  for (int i = 0; i < 5; ++i) refresh_.has_used_map(false);
  EXPECT_GE(next() - first, SlotMapRefresh::kLongestInterval - SlotMapRefresh::kShortestInterval);
}

TEST_F(SlotMapRefreshIntervals, AreTheShortestAgainWhenANodeSaysThatASlotMoved) {
  for (int i = 0; i < 6; ++i) refresh_.has_used_map(false);
  const auto late = next();
  refresh_.request_after_move();
  const auto soon = next();
  EXPECT_LT(soon, late);
  refresh_.has_used_map(false);  // MOVED had corrected the table, so that the map was nothing new
  EXPECT_LT(next() - soon, SlotMapRefresh::kLongestInterval - SlotMapRefresh::kShortestInterval);
  refresh_.has_used_map(false);  // without a further MOVED they grow again
  for (int i = 0; i < 5; ++i) refresh_.has_used_map(false);
  EXPECT_GE(next() - soon, SlotMapRefresh::kLongestInterval - SlotMapRefresh::kShortestInterval);
}

TEST_F(SlotMapRefreshIntervals, AreNotProlongedByAMove) {
  refresh_.request_after_move();  // before the first refresh, which is due at once
  EXPECT_EQ(next(), SlotMapRefresh::Time::min());
}

}  // namespace
}  // namespace tollgate
