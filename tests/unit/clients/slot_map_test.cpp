#include "clients/slot_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tollgate {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Range = SlotMap::Range;

constexpr AskedNode kAsked{"asked.example", false};
constexpr AskedNode kAskedByTls{"asked.example", true};

Reply text(std::string value) { return Reply::string(std::move(value)); }
Reply number(std::int64_t value) { return Reply::integer(value); }
Reply list(std::initializer_list<Reply> elements) { return Reply::array(std::vector<Reply>{elements}); }

Reply node(const Reply& endpoint, const std::string& role, const std::string& health = "online",
           std::int64_t port = 7000) {
  return list({text("id"), text("n1"), text("port"), number(port), text("tls-port"), number(port + 10), text("ip"),
               text("10.0.0.9"), text("endpoint"), endpoint, text("role"), text(role), text("replication-offset"),
               number(0), text("health"), text(health)});
}

Reply shard(const Reply& slots, const Reply& nodes) { return list({text("slots"), slots, text("nodes"), nodes}); }

TEST(ClusterShards, NameThePrimaryOfEachRange) {
  const auto map = read_cluster_shards(
      list({shard(list({number(0), number(10), number(20), number(20)}),
                  list({node(text("b"), "replica", "online", 7001), node(text("a"), "master")})),
            shard(list({number(11), number(19)}), list({node(text("c.example"), "master", "online", 7002)}))}),
      kAsked);
  ASSERT_TRUE(map.has_value());
  EXPECT_THAT(map->ranges,
              ElementsAre(Range{0, 10, {"a", 7000}}, Range{20, 20, {"a", 7000}}, Range{11, 19, {"c.example", 7002}}));
  EXPECT_THAT(map->replicas, ElementsAre(HostAndPort{"b", 7001}));
}

TEST(ClusterShards, AfterAFailoverThePrimaryIsTheOneThatIsOnline) {
  const auto map =
      read_cluster_shards(list({shard(list({number(0), number(1)}),
                                      list({node(text("dead"), "master", "fail"), node(text("new"), "master")}))}),
                          kAsked);
  ASSERT_TRUE(map.has_value());
  EXPECT_THAT(map->ranges, ElementsAre(Range{0, 1, {"new", 7000}}));
}

TEST(ClusterShards, ANodeWithoutAHostIsTheHostThatWasAsked) {
  for (const Reply& nameless : {Reply{}, text(""), text("?")}) {
    const auto map =
        read_cluster_shards(list({shard(list({number(0), number(1)}), list({node(nameless, "master")}))}), kAsked);
    ASSERT_TRUE(map.has_value());
    EXPECT_THAT(map->ranges, ElementsAre(Range{0, 1, {"asked.example", 7000}}));
  }
}

TEST(ClusterShards, ATlsConnectionLeadsToTheTlsPort) {
  const Reply shards = list({shard(list({number(0), number(1)}), list({node(text("a"), "master")}))});
  EXPECT_EQ(read_cluster_shards(shards, kAskedByTls)->ranges[0].primary.port, 7010);
  EXPECT_EQ(read_cluster_shards(shards, kAsked)->ranges[0].primary.port, 7000);
}

TEST(ClusterShards, ThatHoldNoSlotsOrHaveLostTheirPrimaryAreSkipped) {
  const auto map = read_cluster_shards(list({shard(list({}), list({node(text("a"), "master")})),
                                             shard(list({number(0), number(1)}), list({node(text("b"), "replica")}))}),
                                       kAsked);
  ASSERT_TRUE(map.has_value());
  EXPECT_THAT(map->ranges, IsEmpty());
}

TEST(ClusterShards, OfAnotherFormAreNotRead) {
  const Reply primary = list({node(text("a"), "master")});
  for (const Reply& hostile : {
           Reply{},
           text("shards"),
           Reply::error("ERR unknown subcommand"),
           list({text("slots")}),
           list({list({})}),
           list({shard(list({number(0)}), primary)}),                 // an odd number of ends
           list({shard(list({number(-1), number(1)}), primary)}),     // below the first slot
           list({shard(list({number(0), number(16384)}), primary)}),  // beyond the last
           list({shard(list({number(5), number(4)}), primary)}),      // backwards
           list({shard(list({text("x"), number(4)}), primary)}),      // no number
           list({shard(list({number(0), number(1)}), list({node(text("a"), "master", "online", 0)}))}),
           list({shard(list({number(0), number(1)}), list({node(text("a"), "master", "online", 65536)}))}),
           list({shard(list({number(0), number(1)}), list({list({text("role"), text("master")})}))}),
       }) {
    EXPECT_FALSE(read_cluster_shards(hostile, kAsked).has_value());
  }
}

TEST(ClusterSlots, NameThePrimaryOfEachRange) {
  const auto map =
      read_cluster_slots(list({list({number(0), number(5), list({text("10.0.0.1"), number(7000), text("id"), list({})}),
                                     list({text("10.0.0.2"), number(7001), text("id")})}),
                               list({number(6), number(16383), list({Reply{}, number(7002)})})}),
                         kAsked);
  ASSERT_TRUE(map.has_value());
  EXPECT_THAT(map->ranges, ElementsAre(Range{0, 5, {"10.0.0.1", 7000}}, Range{6, 16383, {"asked.example", 7002}}));
  EXPECT_THAT(map->replicas, ElementsAre(HostAndPort{"10.0.0.2", 7001}));
}

TEST(ClusterSlots, OfAnotherFormAreNotRead) {
  const Reply primary = list({text("a"), number(7000)});
  for (const Reply& hostile : {
           Reply{},
           number(1),
           list({number(1)}),
           list({list({number(0), number(1)})}),
           list({list({number(0), number(1), list({text("a")})})}),
           list({list({number(0), number(1), list({text("a"), text("port")})})}),
           list({list({number(2), number(1), primary})}),
           list({list({number(0), number(99999), primary})}),
       }) {
    EXPECT_FALSE(read_cluster_slots(hostile, kAsked).has_value());
  }
}

TEST(SlotMaps, WithAHostThatIsLongerThanAnyNameAreNotRead) {
  for (const bool is_too_long : {false, true}) {
    const Reply host = text(std::string(is_too_long ? 256 : 255, 'h'));
    EXPECT_EQ(read_cluster_shards(list({shard(list({number(0), number(1)}), list({node(host, "master")}))}), kAsked)
                  .has_value(),
              !is_too_long);
    const Reply slots = list({list({number(0), number(1), list({host, number(7000)})})});
    EXPECT_EQ(read_cluster_slots(slots, kAsked).has_value(), !is_too_long);
    const Reply replica =
        list({list({number(0), number(1), list({text("a"), number(7000)}), list({host, number(1)})})});
    const auto map = read_cluster_slots(replica, kAsked);
    ASSERT_TRUE(map.has_value());
    EXPECT_EQ(map->replicas.empty(), is_too_long);
  }
}

TEST(ClusterSlots, MoreRangesThanThereAreSlotsAreNotRead) {
  std::vector<Reply> ranges(kMaxRanges + 1, list({number(0), number(0), list({text("a"), number(7000)})}));
  EXPECT_FALSE(read_cluster_slots(Reply::array(ranges), kAsked).has_value());
  ranges.pop_back();
  EXPECT_TRUE(read_cluster_slots(Reply::array(ranges), kAsked).has_value());
}

}  // namespace
}  // namespace tollgate
