// One node of a Redis Cluster freezes, is shut down, or has its connections cut: the users of the others are served,
// and its own get no answer that is not theirs.
#include <atomic>
#include <vector>

#include "faults/cluster_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;
using testing::RedisCluster;

const ClientOptions kPatient{.connect_timeout = 10s, .command_timeout = 10s};

class ClusterNodeFaults : public ClusterTest {
 protected:
  [[nodiscard]] RateLimitConfig config(std::int64_t limit, Admission admission = Admission::kPipelined) const {
    return {.max_tokens_per_minute = limit, .admission = admission, .deny_memory = 0ms, .clock = clock_};
  }
};

TEST_F(ClusterNodeFaults, ACallToANodeThatGaveItsSlotsAwayAndWasShutDownIsRoutedAnew) {
  RedisCluster cluster{{.primaries = 2}};
  const std::size_t added = cluster.add_node();
  RedisRateLimiter limiter{connect(cluster.url(), kPatient), config(1000)};
  const std::size_t home = first_owner(0, 2);
  const std::uint16_t slot = RedisCluster::slot_of(key(0));
  int charged = 0;
  // Each time, MOVED corrects the client's map before it is read as a whole, which then finds nothing new.
  for (int i = 0; i < 9; ++i) {
    cluster.migrate(slot, i % 2 == 0 ? added : home);
    ASSERT_NO_THROW(EXPECT_TRUE(limiter.check_and_consume(user_number(0), 1)));
    ++charged;
    std::this_thread::sleep_for(200ms);
  }
  cluster.migrate(slot, home);  // the client is not told
  cluster.forget_node(added);
  ASSERT_NO_THROW(EXPECT_TRUE(limiter.check_and_consume(user_number(0), 1)));
  ++charged;
  EXPECT_EQ(counter(cluster, 0), charged);
}

}  // namespace
}  // namespace tollgate::tests
