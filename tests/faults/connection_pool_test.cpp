// Few calls at a time have a connection each, many share one; whatever happens to the others, no call pays for it.

#include <atomic>
#include <latch>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class ConnectionPoolFaults : public FaultTest {
 protected:
  /// So many threads at once, each of whom makes `calls` calls, for a user of its own. Returns how many were not
  /// allowed.
  static int refused(RedisRateLimiter& limiter, int threads, int calls) {
    std::atomic<int> refused{0};
    std::latch start{threads};
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; ++i) {
      pool.emplace_back([&, user = "u" + std::to_string(i)] {
        start.arrive_and_wait();
        for (int call = 0; call < calls; ++call) {
          if (!limiter.try_consume(user, 1).allowed) ++refused;
        }
      });
    }
    for (std::thread& thread : pool) thread.join();
    return refused;
  }

  /// Four threads whose calls overlap, until each has a connection.
  void let_four_connect(RedisRateLimiter& limiter) {
    gate_.delay(500us);
    ASSERT_TRUE(soon([&] { return refused(limiter, 4, 5) == 0 && gate_.connections() == 4; }));
    gate_.delay(0us);
  }
};

TEST_F(ConnectionPoolFaults, OneThreadHasOneConnection) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  EXPECT_EQ(refused(limiter, 1, 100), 0);
  EXPECT_EQ(gate_.connections(), 1);
}

TEST_F(ConnectionPoolFaults, FourThreadsHaveAConnectionEachAndFortyHaveNoMore) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  let_four_connect(limiter);
  EXPECT_EQ(refused(limiter, 40, 20), 0);
  EXPECT_EQ(gate_.connections(), 4);
}

TEST_F(ConnectionPoolFaults, NoCallFailsWhenThereIsOneConnectionOnly) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.refuse(true);
  gate_.delay(200us);
  EXPECT_EQ(refused(limiter, 4, 50), 0);
}

TEST_F(ConnectionPoolFaults, NoCallFailsWhenRedisTakesNoMoreClients) {
  {
    RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
    ASSERT_TRUE(limiter.check_and_consume("u", 1));
    gate_.delay(200us);
    server_.command({"CONFIG", "SET", "maxclients", "1"});
    EXPECT_EQ(refused(limiter, 4, 50), 0);
    EXPECT_EQ(limiter.stats().client.connects, 1U);
    EXPECT_EQ(limiter.stats().client.failed, 0U);
  }
  EXPECT_TRUE(soon([&] {  // also for our own last look
    try {
      return server_.command({"CONFIG", "SET", "maxclients", "100"}).text() == "OK";
    } catch (const std::runtime_error&) {
      return false;
    }
  }));
}

TEST_F(ConnectionPoolFaults, NoCallFailsWhenAllConnectionsWereClosedWhileIdle) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  let_four_connect(limiter);
  for (int i = 0; i < 3; ++i) {
    server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(refused(limiter, 4, 20), 0);
  }
}

TEST_F(ConnectionPoolFaults, ALateChargeOnAnyConnectionIsUndone) {
  const auto client = connect(gate_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  let_four_connect(limiter);
  const auto total = [&] { return counter("u0") + counter("u1") + counter("u2") + counter("u3"); };
  const std::int64_t before = total();
  server_.pause();
  EXPECT_EQ(refused(limiter, 4, 1), 4);
  EXPECT_EQ(limiter.stats().in_doubt, 4U);
  server_.resume();
  // One caller, who has no use for the others, looks after them.
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.try_consume("another", 0));
    return total() == before;
  }));
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(ConnectionPoolFaults, FewThreadsOpenTheCircuitOfAFrozenServerTogether) {
  RedisRateLimiter limiter{connect(gate_.url(), kQuick), config()};
  let_four_connect(limiter);
  server_.pause();
  const auto start = Clock::now();
  EXPECT_EQ(refused(limiter, 4, 2), 8);
  EXPECT_EQ(limiter.stats().client.circuit_opened, 1U);
  EXPECT_LT(Clock::now() - start, 2 * kQuick.command_timeout + 500ms);
  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u0", 1).allowed; }));
  EXPECT_TRUE(soon([&] { return refused(limiter, 4, 20) == 0; }));
}

TEST_F(ConnectionPoolFaults, ASecondaryConnectionThatLosesAReplyIsGivenUpWhileThePrimaryAnswers) {
  RedisRateLimiter limiter{connect(gate_.url(), kQuick), config()};
  let_four_connect(limiter);
  const auto failed = [&] { return limiter.stats().client.failed; };
  // Until one of the others has lost one: the first notices by itself.
  for (int i = 0; i < 20; ++i) {
    gate_.swallow_replies(1);
    static_cast<void>(refused(limiter, 4, 3));
    EXPECT_TRUE(soon([&] { return refused(limiter, 4, 3) == 0; }));
  }
  EXPECT_GT(failed(), 0U);
  EXPECT_TRUE(soon([&] { return refused(limiter, 4, 3) == 0 && limiter.drain(Clock::now()); }));
}

TEST_F(ConnectionPoolFaults, ACallSeesThePostsOfItsThread) {
  const auto client = connect(server_.url(), kPatient);
  RedisRateLimiter limiter{client, config()};
  limiter.reserve("warm", 1).cancel();  // a script that Redis does not know is sent twice
  ASSERT_TRUE(limiter.drain(Clock::now() + 5s));
  std::atomic<int> stale{0};
  std::vector<std::thread> pool;
  for (int i = 0; i < 4; ++i) {
    pool.emplace_back([&, user = "u" + std::to_string(i)] {
      for (int round = 0; round < 500; ++round) {
        Reservation reservation = limiter.reserve(user, 100);
        reservation.settle(1);
        if (limiter.get_remaining(user) != kLimit - round - 1) ++stale;
      }
    });
  }
  for (std::thread& thread : pool) thread.join();
  EXPECT_EQ(stale, 0);
}

}  // namespace
}  // namespace tollgate::tests
