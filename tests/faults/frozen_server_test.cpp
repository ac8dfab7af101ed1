// A server that answers no more although its connections stand (SIGSTOP): calls end by their deadline, and what Redis
// executes late is mended.

#include <fcntl.h>

#include <atomic>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class FrozenServer : public FaultTest {};

TEST_F(FrozenServer, AFrozenServerDelaysACallToItsDeadlineAndTheLateChargeIsUndone) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  const auto start = Clock::now();
  const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_TRUE(error.retryable());
  server_.resume();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u", {.deadline = Clock::now() + 5s}) == kLimit - 1; }));
  EXPECT_EQ(counter("u"), 1);
}

TEST_F(FrozenServer, AFrozenServerDelaysACallOfManyToItsDeadlineAndEachLateChargeIsUndone) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  const std::vector<ConsumeRequest> requests{{"u", 10}, {"v", 20}, {"u", 0}, {"u", 30}};
  const auto start = Clock::now();
  for (const Decision& decision : limiter.consume_all(requests)) {
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.failure, Errc::kTimeout);
  }
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_EQ(limiter.stats().in_doubt, 3U);
  EXPECT_EQ(limiter.stats().in_doubt_tokens, 60U);
  server_.resume();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon([&] { return counter("u") == 1 && counter("v") == 0; }));
}

TEST_F(FrozenServer, AFrozenServerIsNeitherReadyNorDrainedUntilItResumes) {
  RedisRateLimiter limiter{connect(server_.url(), kQuick), config()};
  EXPECT_NO_THROW(limiter.ping());
  Reservation reservation = limiter.reserve("u", 10);
  server_.pause();
  reservation.cancel();
  const auto start = Clock::now();
  EXPECT_THROW(limiter.ping({.deadline = start + 50ms}), TimeoutError);
  EXPECT_FALSE(limiter.drain(start + 100ms));
  EXPECT_LT(Clock::now() - start, 5s);
  server_.resume();
  EXPECT_NO_THROW(limiter.ping({.deadline = Clock::now() + 5s}));
  EXPECT_TRUE(limiter.drain(Clock::now() + 5s));
  EXPECT_EQ(counter("u"), 0);
}

TEST_F(FrozenServer, ALateChargeStaysWhenItsCallWasAllowed) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config(FailurePolicy::kAllow)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  const Decision decision = limiter.consume("u", 10);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_EQ(decision.failure, Errc::kTimeout);
  server_.resume();
  EXPECT_EQ(limiter.get_remaining("u", {.deadline = Clock::now() + 5s}), kLimit - 11);
  ASSERT_TRUE(client->drain(Clock::now() + 5s));  // no undo is on its way
  EXPECT_EQ(counter("u"), 11);
}

TEST_F(FrozenServer, ALateAtomicChargeIsUndoneToo) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, atomic_config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  EXPECT_EQ(limiter.try_consume("u", 10).failure, Errc::kTimeout);
  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u", {.deadline = Clock::now() + 5s}) == kLimit - 1; }));
}

TEST_F(FrozenServer, CallsInFlightOnAFrozenServerAreBoundedAndFurtherOnesFailUnsent) {
  // Callers in a hurry: none has waited for the command timeout, so the circuit stays closed.
  const auto client = connect(server_.url(), kPatient);
  RedisRateLimiter limiter{client, config()};
  // The longest user id: 1 MiB is full after fewer than 1024 calls, each of which names it twice. (Not slower: after 10
  // s without taking a byte the connection is given up, and all that is on it.)
  const std::string user(512, 'u');
  ASSERT_TRUE(limiter.check_and_consume(user, 1, {.deadline = Clock::now() + 5s}));
  server_.pause();
  int in_doubt = 0;
  std::error_code failure;
  while (failure != Errc::kOverloaded && in_doubt <= 1024) {
    const auto error = thrown_by<Error>(
        [&] { static_cast<void>(limiter.check_and_consume(user, 1, {.deadline = Clock::now() + 1ms})); });
    failure = error.code();
    if (error.may_have_executed()) ++in_doubt;
    EXPECT_FALSE(failure == Errc::kOverloaded && error.may_have_executed());
  }
  EXPECT_EQ(failure, Errc::kOverloaded);
  EXPECT_GT(in_doubt, 512);
  server_.resume();
  EXPECT_TRUE(
      soon([&] { return limiter.try_consume(user, 0, {.deadline = Clock::now() + 5s}).remaining == kLimit - 1; }));
}

TEST_F(FrozenServer, ManyThreadsOnAServerThatFreezesAgainAndAgainAllReturnAndOnlyDoubtsMayStayCharged) {
  const auto client = connect(server_.url(), {.connect_timeout = 1s, .command_timeout = 20ms});
  std::atomic<std::int64_t> admitted{0};
  std::atomic<std::int64_t> failed{0};
  std::atomic<std::int64_t> in_doubt{0};
  std::atomic<bool> stop{false};
  RateLimitConfig large = config();
  large.max_tokens_per_minute = 1'000'000'000;
  {
    RedisRateLimiter limiter{client, large};
    std::vector<std::thread> threads;
    for (int i = 0; i < 32; ++i) {
      threads.emplace_back([&] {
        while (!stop) {
          try {
            if (limiter.check_and_consume("u", 1)) ++admitted;
          } catch (const Error& error) {
            ++failed;
            if (error.may_have_executed()) ++in_doubt;
          }
        }
      });
    }
    for (int i = 0; i < 8; ++i) {
      std::this_thread::sleep_for(60ms);
      server_.pause();
      std::this_thread::sleep_for(60ms);
      server_.resume();
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 0).source == Source::kRedis; }));
    EXPECT_TRUE(client->drain(Clock::now() + 5s));
  }
  EXPECT_GT(admitted, 0);
  EXPECT_GT(failed, 0);
  EXPECT_GE(counter("u"), admitted);
  EXPECT_LE(counter("u"), admitted + in_doubt);
}

}  // namespace
}  // namespace tollgate::tests
