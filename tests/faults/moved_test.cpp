// A plain redis:// URL that leads to one node of a Redis Cluster: MOVED is no outage, so no policy lets the request
// pass, and the failure says which URL to use.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;

constexpr int kUsers = 40;
constexpr std::int64_t kBudget = 1'000;

class Moved : public ::testing::TestWithParam<FailurePolicy> {
 protected:
  void SetUp() override {
    ASSERT_EQ(first_.command({"CLUSTER", "ADDSLOTSRANGE", "0", "8191"}).text(), "OK");
    ASSERT_EQ(second_.command({"CLUSTER", "ADDSLOTSRANGE", "8192", "16383"}).text(), "OK");
    ASSERT_EQ(first_.command({"CLUSTER", "MEET", "127.0.0.1", std::to_string(second_.port())}).text(), "OK");
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!is_up(first_) || !is_up(second_)) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the cluster is not up";
      std::this_thread::sleep_for(20ms);
    }
  }
  static bool is_up(const testing::RedisServer& server) {
    const std::string info = server.command({"CLUSTER", "INFO"}).text();
    return info.find("cluster_state:ok") != std::string::npos &&
           info.find("cluster_known_nodes:2") != std::string::npos;
  }
  [[nodiscard]] RedisRateLimiter limiter_on(const testing::RedisServer& server, Admission admission) const {
    return RedisRateLimiter{connect(server.url(), {.command_timeout = 5s}),
                            {.max_tokens_per_minute = kBudget,
                             .key_prefix = admission == Admission::kAtomic ? "atomic" : "pipelined",
                             .admission = admission,
                             .on_failure = GetParam(),
                             .clock = clock_,
                             .local_share = kBudget}};
  }

  testing::RedisServer first_{{"--cluster-enabled", "yes"}};
  testing::RedisServer second_{{"--cluster-enabled", "yes"}};
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
};

TEST_P(Moved, NoUserGetsTheBudgetTwiceAndTheFailureNamesTheUrlToUse) {
  for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
    RedisRateLimiter on_first = limiter_on(first_, admission);
    RedisRateLimiter on_second = limiter_on(second_, admission);
    int allowed = 0;
    int denied = 0;
    for (int i = 0; i < kUsers; ++i) {
      const std::string user = "user_" + std::to_string(i);
      int of_user = 0;
      for (RedisRateLimiter* const limiter : {&on_first, &on_second}) {
        const Decision decision = limiter->try_consume(user, kBudget);
        of_user += decision.allowed ? 1 : 0;
        if (decision.allowed) {
          EXPECT_EQ(decision.source, Source::kRedis);
          continue;
        }
        ++denied;
        EXPECT_THAT(decision.failure.message(), ::testing::HasSubstr("redis+cluster"));
      }
      EXPECT_EQ(of_user, 1) << user;
      allowed += of_user;
    }
    EXPECT_EQ(allowed, kUsers);
    EXPECT_EQ(denied, kUsers);
  }
}

TEST_P(Moved, OfManyRequestsInOneCallNoneOfAnotherNodeIsAllowed) {
  RedisRateLimiter limiter = limiter_on(first_, Admission::kPipelined);
  std::vector<std::string> users;
  std::vector<ConsumeRequest> requests;
  for (int i = 0; i < kUsers; ++i) users.push_back("user_" + std::to_string(i));
  for (const std::string& user : users) requests.push_back({user, kBudget});
  int allowed = 0;
  for (const Decision& decision : limiter.consume_all(requests)) {
    if (decision.allowed) {
      ++allowed;
      EXPECT_EQ(decision.source, Source::kRedis);
    } else {
      EXPECT_THAT(decision.failure.message(), ::testing::HasSubstr("redis+cluster"));
    }
  }
  EXPECT_GT(allowed, 0);
  EXPECT_LT(allowed, kUsers);
}

INSTANTIATE_TEST_SUITE_P(Policies, Moved, ::testing::Values(FailurePolicy::kAllow, FailurePolicy::kLocalShare),
                         [](const auto& policy) {
                           return std::string{policy.param == FailurePolicy::kAllow ? "Allow" : "LocalShare"};
                         });

}  // namespace
}  // namespace tollgate::tests
