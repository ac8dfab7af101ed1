// A limiter on a Redis Cluster of three primaries: what is specific to a Cluster. What all stores have in common is in
// limiter_behaviour_test.cpp; faults are in tests/faults/cluster_faults_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "decisions/keys.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_cluster.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::RedisCluster;

const ClientOptions kPatient{.connect_timeout = 5s, .command_timeout = 5s};

class OnACluster : public ::testing::TestWithParam<Admission> {
 protected:
  static void SetUpTestSuite() { cluster_ = std::make_unique<RedisCluster>(); }
  static void TearDownTestSuite() { cluster_.reset(); }
  void TearDown() override {
    EXPECT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
    EXPECT_THAT(cluster_->keys_without_ttl(), ::testing::IsEmpty());
    cluster_->flush();
  }

  [[nodiscard]] RedisRateLimiter limiter(std::int64_t limit) const {
    return RedisRateLimiter{client_, {.max_tokens_per_minute = limit, .admission = GetParam(), .clock = clock_}};
  }
  [[nodiscard]] std::string key(std::string_view user) const {
    return std::string{
        decisions::Key::counter(RateLimitConfig{}.key_prefix, user, decisions::window_at(clock_->now())).view()};
  }
  [[nodiscard]] static std::int64_t keys_of(std::size_t node) {
    return cluster_->node(node).command({"DBSIZE"}).to_integer().value_or(-1);
  }

  static inline std::unique_ptr<RedisCluster> cluster_;
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<RedisClient> client_ = connect(cluster_->url(), kPatient);
};

TEST_P(OnACluster, RequestsInOneCallAreDecidedByAllPrimariesInOrder) {
  constexpr std::size_t kUsers = 3000;
  RedisRateLimiter limiter = this->limiter(10);
  std::vector<std::string> users;
  std::vector<ConsumeRequest> requests;
  for (std::size_t i = 0; i < kUsers; ++i) users.push_back("user_" + std::to_string(i));
  for (std::size_t i = 0; i < kUsers; ++i) requests.push_back({users[i], i % 2 == 0 ? 4 : 11});
  const std::vector<Decision> decisions = limiter.consume_all(requests);
  for (std::size_t i = 0; i < kUsers; ++i) {
    EXPECT_EQ(decisions[i].allowed, i % 2 == 0) << i;
    EXPECT_FALSE(decisions[i].failure) << decisions[i].failure.message();
    if (i % 2 == 0) {
      EXPECT_EQ(decisions[i].remaining, 6) << i;
    }
  }
  constexpr double kExpected = kUsers / 2 / 3;
  for (std::size_t node = 0; node < 3; ++node) {  // evenly: each holds a third of the users
    EXPECT_NEAR(static_cast<double>(keys_of(node)), kExpected, kExpected * 0.2);
  }
}

TEST_P(OnACluster, EveryUserHasABudgetOfTheirOwnWhateverTheirIdHolds) {
  RedisRateLimiter limiter = this->limiter(10);
  const std::vector<std::string> users{"{tag}", "a{tag}", "{tag}b", "{}", "{", "}", "a}b{c", "tag"};
  for (const std::string& user : users) EXPECT_TRUE(limiter.check_and_consume(user, 10)) << user;
  for (const std::string& user : users) {
    EXPECT_FALSE(limiter.check_and_consume(user, 1)) << user;
    EXPECT_EQ(limiter.get_remaining(user), 0) << user;
  }
}

TEST_P(OnACluster, ResetDeletesTheWindowsOfAUserOnEveryPrimary) {
  RedisRateLimiter limiter = this->limiter(10);
  std::set<std::size_t> nodes;
  for (int minute = 0; minute < 12; ++minute) {
    EXPECT_TRUE(limiter.check_and_consume("user", 3));
    EXPECT_TRUE(limiter.check_and_consume("another", 3));
    nodes.insert(cluster_->owner_of(key("user")));
    clock_->advance(60s);
  }
  EXPECT_EQ(nodes.size(), 3U);
  limiter.reset("user");
  EXPECT_EQ(keys_of(0) + keys_of(1) + keys_of(2), 12);  // another's
}

TEST_P(OnACluster, SettlementsAndUndosReachTheNodeOfTheirKey) {
  RedisRateLimiter limiter = this->limiter(100);
  for (int i = 0; i < 50; ++i) {
    const std::string user = "user_" + std::to_string(i);
    Reservation reservation = limiter.reserve(user, 60);
    EXPECT_FALSE(limiter.check_and_consume(user, 50)) << user;
    reservation.settle(10);
    EXPECT_EQ(limiter.get_remaining(user), 90) << user;
  }
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_P(OnACluster, TheStatisticsOfAllNodesAreAddedUp) {
  RedisRateLimiter limiter = this->limiter(100);
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(limiter.check_and_consume("user_" + std::to_string(i), 1));
  EXPECT_GE(limiter.stats().client.latency.total(), 60U);
  EXPECT_EQ(limiter.stats().client.connects, 3U);
  EXPECT_EQ(limiter.stats().client.failed, 0U);
}

TEST_P(OnACluster, AnyNodeIsEnoughToFindTheOthers) {
  for (std::size_t node = 0; node < 3; ++node) {
    const std::string url = "redis+cluster://127.0.0.1:" + std::to_string(cluster_->node(node).port());
    RedisRateLimiter limiter{connect(url, kPatient), {.admission = GetParam(), .clock = clock_}};
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(limiter.check_and_consume("user_" + std::to_string(i), 1));
  }
}

TEST_P(OnACluster, ANodeThatIsDownIsPassedOverWhenTheMapIsRead) {
  const std::string url =
      "redis+cluster://127.0.0.1:1," + cluster_->url().substr(std::string{"redis+cluster://"}.size());
  RedisRateLimiter limiter{connect(url, kPatient), {.admission = GetParam(), .clock = clock_}};
  EXPECT_TRUE(limiter.check_and_consume("user", 1));
  limiter.ping();
}

INSTANTIATE_TEST_SUITE_P(, OnACluster, ::testing::Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& test) { return test.param == Admission::kAtomic ? "Atomic" : "Pipelined"; });

/// The error of a call on `url`.
Failure failure_on(const std::string& url) {
  CommandBatch batch;
  batch.incr_by("key", 1);
  return connect(url, kPatient)->execute(batch, std::nullopt, nullptr).failure;
}

TEST(ClusterUrl, OfAServerThatIsNoClusterSaysWhatToChange) {
  const testing::RedisServer server;
  const Failure failure = failure_on("redis+cluster://127.0.0.1:" + std::to_string(server.port()));
  EXPECT_TRUE(is_misconfiguration(failure.code)) << failure.code.message();
  EXPECT_FALSE(failure.may_have_executed);
  EXPECT_THAT(failure.detail, HasSubstr("redis://"));
  EXPECT_EQ(server.command({"DBSIZE"}), Reply::integer(0));
}

TEST(ClusterUrl, WhereNoNodeAnswersFailsAtOnceWithTheReason) {
  const auto start = std::chrono::steady_clock::now();
  const Failure failure = failure_on("redis+cluster://127.0.0.1:1");
  EXPECT_EQ(failure.code, Errc::kConnectFailed);
  EXPECT_FALSE(failure.may_have_executed);
  EXPECT_THAT(failure.detail, HasSubstr("no node of the Cluster"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 4s);
}

// The administrator may let nodes report host names, or no host at all: then it is the host that was asked.
class ReportedHosts : public ::testing::TestWithParam<std::string> {};

TEST_P(ReportedHosts, LeadToTheNodes) {
  RedisCluster cluster{
      {.primaries = 2,
       .arguments = {"--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", GetParam()}}};
  RedisRateLimiter limiter{connect(cluster.url(), kPatient), {.max_tokens_per_minute = 10}};
  for (int i = 0; i < 30; ++i) {
    const std::string user = "user_" + std::to_string(i);
    EXPECT_EQ(limiter.consume(user, 4).source, Source::kRedis);
  }
  EXPECT_GT(cluster.node(0).command({"DBSIZE"}).to_integer(), 0);
  EXPECT_GT(cluster.node(1).command({"DBSIZE"}).to_integer(), 0);
}

INSTANTIATE_TEST_SUITE_P(As, ReportedHosts, ::testing::Values("hostname", "unknown-endpoint"), [](const auto& test) {
  return test.param == "hostname" ? std::string{"Names"} : std::string{"Nothing"};
});

}  // namespace
}  // namespace tollgate
