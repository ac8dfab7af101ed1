// FailurePolicy::kLocalShare on real outages: what is granted meanwhile is bounded, and charged once Redis is back.

#include <cstdlib>
#include <numeric>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class LocalShareFaults : public FaultTest {
 protected:
  static constexpr std::int64_t kShare = 1'000;

  [[nodiscard]] RateLimitConfig sharing(Admission admission = Admission::kPipelined) const {
    RateLimitConfig config = this->config(FailurePolicy::kLocalShare);
    config.local_share = kShare;
    config.admission = admission;
    return config;
  }
  [[nodiscard]] bool back(RedisRateLimiter& limiter) {
    return soon([&] { return limiter.peek("somebody").source == Source::kRedis; });
  }
};

TEST_F(LocalShareFaults, GrantsOfAnOutageAreChargedBeforeAnythingElseAfterIt) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, sharing()};
  ASSERT_TRUE(limiter.check_and_consume("u", 100));
  server_.kill();

  const Decision granted = limiter.consume("u", 600);
  EXPECT_TRUE(granted.allowed);
  EXPECT_EQ(granted.source, Source::kFallback);
  EXPECT_TRUE(granted.failure);
  EXPECT_FALSE(limiter.consume("u", 301).allowed);
  EXPECT_TRUE(limiter.consume("u", 300).allowed);
  EXPECT_FALSE(limiter.consume("u", 1).allowed);

  server_.restart();  // empty: the 100 are forgotten
  ASSERT_TRUE(back(limiter));
  EXPECT_EQ(limiter.consume("u", kLimit - 900 + 1).allowed, false);
  EXPECT_TRUE(limiter.check_and_consume("u", kLimit - 900));
  ASSERT_TRUE(client->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), kLimit);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(LocalShareFaults, AfterAFreezeTheCounterIsExactInEitherAdmission) {
  for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
    const std::string user = admission == Admission::kAtomic ? "atomic" : "pipelined";
    const auto client = connect(server_.url(), kQuick);
    RedisRateLimiter limiter{client, sharing(admission)};
    ASSERT_TRUE(limiter.check_and_consume(user, 200));
    server_.pause();
    EXPECT_TRUE(limiter.consume(user, 500).allowed);   // its own charge is in doubt, and undone when it turns up
    EXPECT_FALSE(limiter.consume(user, 500).allowed);  // so is this one's
    Reservation reservation = limiter.reserve(user, 300);
    EXPECT_TRUE(reservation.allowed());
    reservation.settle(50);
    server_.resume();
    ASSERT_TRUE(client->drain(std::chrono::steady_clock::now() + 5s));
    EXPECT_TRUE(soon([&] { return counter(user) == 200 + 500 + 50; })) << counter(user);
  }
}

TEST_F(LocalShareFaults, AFleetExceedsTheLimitByAtMostItsSharesInAnOutage) {
  constexpr std::size_t kProcesses = 3;  // of each its client and its limiter
  std::vector<std::shared_ptr<RedisClient>> clients;
  std::deque<RedisRateLimiter> limiters;
  std::vector<std::int64_t> admitted(kProcesses, 0);
  for (std::size_t i = 0; i < kProcesses; ++i) {
    clients.push_back(connect(gate_.url(), kQuick));
    limiters.emplace_back(clients.back(), sharing());
  }
  const auto ask = [&](std::size_t process, std::int64_t tokens) {
    if (limiters[process].consume("u", tokens).allowed) admitted[process] += tokens;
  };
  const auto total = [&] { return std::accumulate(admitted.begin(), admitted.end(), std::int64_t{0}); };

  for (int i = 0; i < 200; ++i) ask(0, 100);  // the first spends the budget, alone
  ASSERT_EQ(total(), kLimit);
  gate_.refuse(true);
  gate_.cut();
  ASSERT_TRUE(soon([&] { return gate_.cuts() == 1; }));  // else a charge may get through, in doubt
  for (int i = 0; i < 60; ++i) {
    for (std::size_t process = 0; process < kProcesses; ++process) ask(process, 50);
  }
  EXPECT_EQ(total(), kLimit + 2 * kShare);  // the first has none left

  gate_.refuse(false);
  for (std::size_t process = 0; process < kProcesses; ++process) {
    ASSERT_TRUE(back(limiters[process]));
    ASSERT_TRUE(clients[process]->drain(std::chrono::steady_clock::now() + 5s));
  }
  // What was on its way when the gate cut or refused is in doubt, and said to be.
  std::int64_t undelivered = 0;
  for (const RedisRateLimiter& limiter : limiters) {
    undelivered += static_cast<std::int64_t>(limiter.undelivered().tokens);
  }
  EXPECT_LE(std::abs(counter("u") - total()), undelivered);
  for (std::size_t process = 0; process < kProcesses; ++process) ask(process, 1);
  EXPECT_EQ(total(), kLimit + 2 * kShare);
}

}  // namespace
}  // namespace tollgate::tests
