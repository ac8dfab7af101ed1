// As allocation_faults_test.cpp, on a Redis Cluster: also where a call is redirected, and where it is divided between
// nodes. Allocations fail on the caller's thread.
#include <vector>

#include "faults/allocation_calls.hpp"
#include "faults/cluster_test.hpp"

namespace tollgate::tests {
namespace {

using testing::RedisCluster;

/// Charges users on both nodes; the first is "u".
std::vector<Call> calls_on_a_cluster() {
  std::vector<Call> calls = allocation_calls();
  calls.push_back({"Divided", [](RedisRateLimiter& limiter, Account& account) -> std::function<void()> {
                     return [&] {
                       const std::vector<ConsumeRequest> requests{{"u", kTokens}, {"v", kTokens}, {"w", kTokens},
                                                                  {"x", kTokens}, {"y", kTokens}, {"z", kTokens}};
                       if (limiter.consume_all(requests)[0].allowed) account.allowed += kTokens;
                     };
                   }});
  return calls;
}

class ClusterAllocationFaults : public ClusterTest, public ::testing::WithParamInterface<Call> {
 protected:
  static constexpr auto kCommandTimeout = 5s;
  static constexpr int kMost = 2 * kMostAllocations;  // a redirected call has those of two

  static void SetUpTestSuite() { cluster_ = std::make_unique<RedisCluster>(RedisCluster::Layout{.primaries = 2}); }
  static void TearDownTestSuite() { cluster_.reset(); }

  void SetUp() override { flush(); }
  void TearDown() override { EXPECT_THAT(cluster_->keys_without_ttl(), ::testing::IsEmpty()); }

  static void flush() {
    cluster_->flush();
    for (std::size_t node = 0; node < 2; ++node) cluster_->node(node).command({"SCRIPT", "FLUSH"});
  }
  [[nodiscard]] RedisRateLimiter limiter() const {
    return RedisRateLimiter{connect(cluster_->url(), {.connect_timeout = 5s, .command_timeout = kCommandTimeout}),
                            {.max_tokens_per_minute = kBudget, .deny_memory = 0ms, .clock = clock_}};
  }
  /// Makes the call again and again, each time with a later allocation failing, on a client that has been used before.
  void make_each_fail_of_a_client_in_use() const {
    RedisRateLimiter limiter = this->limiter();
    limiter.record("full", kBudget);
    Account account;
    ASSERT_TRUE(limiter.check_and_consume("u", 1));
    account.allowed += 1;
    bool failed = true;
    for (int n = 1; failed; ++n) {
      ASSERT_LT(n, kMost);
      failed = fails(GetParam(), limiter, account, n, kCommandTimeout);
      ASSERT_NO_FATAL_FAILURE(expect_sound(limiter, account, n, kCommandTimeout));
    }
  }

  static inline std::unique_ptr<RedisCluster> cluster_;
};

TEST_P(ClusterAllocationFaults, OfTheFirstCallsOfAClient) {
  bool failed = true;
  for (int n = 1; failed; ++n) {
    ASSERT_LT(n, kMost);
    flush();
    RedisRateLimiter limiter = this->limiter();
    Account account;
    failed = fails(GetParam(), limiter, account, n, kCommandTimeout);
    ASSERT_NO_FATAL_FAILURE(expect_sound(limiter, account, n, kCommandTimeout));
  }
}

TEST_P(ClusterAllocationFaults, OfTheCallsOfAClientInUse) { make_each_fail_of_a_client_in_use(); }

class RedirectedAllocationFaults : public ClusterAllocationFaults {};

TEST_P(RedirectedAllocationFaults, OfTheCallsOfAClientInUse) {
  // A migration that has begun and does not end: its node answers ASK for every key that it does not have.
  const std::string key{
      decisions::Key::counter(RateLimitConfig{}.key_prefix, "u", decisions::window_at(clock_->now())).view()};
  const std::uint16_t slot = RedisCluster::slot_of(key);
  const std::size_t home = cluster_->owner_of(slot);
  cluster_->begin_migration(slot, 1 - home);
  make_each_fail_of_a_client_in_use();
  EXPECT_TRUE(cluster_->node(home).command({"GET", key}).is_error());
  for (std::size_t node = 0; node < 2; ++node) {
    cluster_->node(node).command({"CLUSTER", "SETSLOT", std::to_string(slot), "STABLE"});
  }
}

INSTANTIATE_TEST_SUITE_P(Of, ClusterAllocationFaults, ::testing::ValuesIn(calls_on_a_cluster()),
                         [](const auto& call) { return name_of_call(call); });

// Without "Adopt", whose settlement has two keys: Redis answers TRYAGAIN to it until the migration ends.
INSTANTIATE_TEST_SUITE_P(Of, RedirectedAllocationFaults, ::testing::ValuesIn([] {
                           std::vector<Call> calls = calls_on_a_cluster();
                           std::erase_if(calls,
                                         [](const Call& call) { return call.name == std::string_view{"Adopt"}; });
                           return calls;
                         }()),
                         [](const auto& call) { return name_of_call(call); });

}  // namespace
}  // namespace tollgate::tests
