// A connection whose packets are dropped, with no reset to say so, is replaced after at most two failed calls, also at
// a low rate of calls; a server that is merely slow keeps its connection, and its late answers are used.

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class BlackHole : public FaultTest {
 protected:
  /// How many of the calls, one every 200 ms, fail before one is answered; `most` when none is.
  static int failures_until_an_answer(RedisRateLimiter& limiter, int most) {
    for (int failed = 0; failed < most; ++failed) {
      if (limiter.try_consume("u", 1).source == Source::kRedis) return failed;
      std::this_thread::sleep_for(200ms);
    }
    return most;
  }

  static inline const ClientOptions kShort{.connect_timeout = 1s, .command_timeout = 150ms};
};

TEST_F(BlackHole, ALoneCallerLosesAtMostTwoCallsToADroppedConnection) {
  RedisRateLimiter limiter{connect(gate_.url(), kShort), config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.black_hole();
  EXPECT_LE(failures_until_an_answer(limiter, 8), 2);
  EXPECT_GE(gate_.connections(), 2);
}

TEST_F(BlackHole, ALoneCallerWithAtomicAdmissionLosesAtMostTwoCallsToo) {
  RateLimitConfig atomic = atomic_config();
  atomic.on_failure = FailurePolicy::kDeny;
  RedisRateLimiter limiter{connect(gate_.url(), kShort), atomic};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.black_hole();
  EXPECT_LE(failures_until_an_answer(limiter, 8), 2);
}

TEST_F(BlackHole, ASecondDroppedConnectionIsReplacedLikeTheFirst) {
  RedisRateLimiter limiter{connect(gate_.url(), kShort), config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  for (int i = 0; i < 2; ++i) {
    gate_.black_hole();
    EXPECT_LE(failures_until_an_answer(limiter, 8), 2);
  }
}

TEST_F(BlackHole, ThreadsThatCallAtOnceLoseAtMostTwoCallsEach) {
  RedisRateLimiter limiter{connect(gate_.url(), kShort), config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.black_hole();
  std::atomic<int> worst{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const int failed = failures_until_an_answer(limiter, 8);
      for (int seen = worst; failed > seen && !worst.compare_exchange_weak(seen, failed);) {
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(worst, 2);
}

TEST_F(BlackHole, ALateChargeOnASlowServerIsStillUndone) {
  RedisRateLimiter limiter{connect(server_.url(), kShort), config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  for (int i = 0; i < 3; ++i) {  // each times out; a charge that was sent is given back once its reply is here
    EXPECT_FALSE(limiter.try_consume("u", 100).allowed);
    std::this_thread::sleep_for(100ms);
  }
  server_.resume();
  ASSERT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
  EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), 2);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(BlackHole, ASettlementSentToASlowServerIsExecutedOnce) {
  RedisRateLimiter limiter{connect(server_.url(), kShort), config(FailurePolicy::kDeny)};
  limiter.record("other", 1);  // Redis has the script from here on
  Reservation reservation = limiter.reserve("u", 5'000);
  ASSERT_TRUE(reservation.allowed());
  server_.pause();
  reservation.settle(10);
  EXPECT_FALSE(limiter.try_consume("u", 100).allowed);
  EXPECT_FALSE(limiter.try_consume("u", 100).allowed);
  server_.resume();
  ASSERT_TRUE(soon([&] { return limiter.peek("u").source == Source::kRedis; }));
  EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), 10);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

}  // namespace
}  // namespace tollgate::tests
