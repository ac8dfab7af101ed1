// A settlement or an undo reaches a healthy Redis within the command timeout although no further call is made: on a
// connection that Redis has closed, after a partial send, from within a handler, for a script that Redis does not have,
// and once a Redis that was restarted is back.

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class IdlePosts : public FaultTest {
 protected:
  /// Whether the counter reaches `tokens` within a second; no call is made meanwhile.
  [[nodiscard]] bool stands_at_without_a_call(std::int64_t tokens, std::chrono::milliseconds within = 1s) const {
    const auto end = std::chrono::steady_clock::now() + within;
    while (counter("u") != tokens) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  void close_idle_connections() {
    server_.command({"CLIENT", "KILL", "USER", "default"});
    std::this_thread::sleep_for(20ms);
  }

  static inline const ClientOptions kDefaults{};
};

TEST_F(IdlePosts, ASettlementOnAConnectionThatRedisHasClosedArrives) {
  RedisRateLimiter limiter{connect(server_.url(), kDefaults), config()};
  limiter.record("other", 1);  // Redis has the script
  Reservation reservation = limiter.reserve("u", 5'000);
  close_idle_connections();
  reservation.settle(10);
  EXPECT_TRUE(stands_at_without_a_call(10)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, ASettlementAfterTheServersIdleTimeoutArrives) {
  server_.command({"CONFIG", "SET", "timeout", "1"});
  RedisRateLimiter limiter{connect(server_.url(), kDefaults), config()};
  Reservation reservation = limiter.reserve("u", 5'000);
  ASSERT_TRUE(soon([&] {
    return server_.command({"CLIENT", "LIST"}).text().find("user=default") == std::string::npos;
  }));
  reservation.settle(10);
  EXPECT_TRUE(stands_at_without_a_call(10)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, ACancellationOnAConnectionThatRedisHasClosedArrives) {
  RedisRateLimiter limiter{connect(server_.url(), kDefaults), atomic_config()};
  Reservation reservation = limiter.reserve("u", 5'000);
  close_idle_connections();
  reservation.cancel();
  EXPECT_TRUE(stands_at_without_a_call(0)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, ASettlementByAScriptThatRedisDoesNotHaveArrives) {
  RedisRateLimiter limiter{connect(server_.url(), kDefaults), config()};
  Reservation reservation = limiter.reserve("u", 5'000);
  server_.command({"SCRIPT", "FLUSH"});
  reservation.settle(10);
  EXPECT_TRUE(stands_at_without_a_call(10)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, TheUndoOfADeniedChargeByAScriptThatRedisDoesNotHaveArrives) {
  RedisRateLimiter limiter{connect(server_.url(), kDefaults), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 9'000));
  server_.command({"SCRIPT", "FLUSH"});
  ASSERT_FALSE(limiter.check_and_consume("u", 2'000));
  EXPECT_TRUE(stands_at_without_a_call(9'000)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, TheUndoOfADeniedChargeThatIsHeldOnItsWayArrives) {
  RedisRateLimiter limiter{connect(gate_.url(), kDefaults), config()};
  limiter.record("u", 9'000);
  gate_.pass_reply_turns(1);  // the answer to the charge passes; what the undo is answered is withheld
  ASSERT_FALSE(limiter.check_and_consume("u", 2'000));
  gate_.pass_reply_turns(1000);
  EXPECT_TRUE(stands_at_without_a_call(9'000)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, ASettlementBehindABatchThatWasSentInPartArrives) {
  const auto client = connect(server_.unix_url(), kDefaults);
  RedisRateLimiter limiter{client, config()};
  limiter.record("other", 1);
  Reservation reservation = limiter.reserve("u", 5'000);
  CommandBatch large;  // about 800 kB: more than a Unix socket holds
  for (int i = 0; i < 2000; ++i) large.unlink(std::string(350, 'x') + std::to_string(i));
  server_.pause();
  EXPECT_FALSE(client->execute(large, std::chrono::steady_clock::now() + 50ms, nullptr).ok());
  reservation.settle(10);
  server_.resume();
  EXPECT_TRUE(stands_at_without_a_call(10)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, ALateChargeIsGivenBackByItsHandler) {
  RedisRateLimiter limiter{connect(server_.url(), kQuick), config(FailurePolicy::kDeny)};
  limiter.record("other", 1);
  server_.pause();
  EXPECT_FALSE(limiter.consume("u", 100).allowed);
  server_.resume();
  ASSERT_TRUE(soon([&] { return server_.command({"EXISTS", key("other")}).to_integer() == 1; }));
  EXPECT_TRUE(stands_at_without_a_call(0)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(IdlePosts, ASettlementWhileRedisIsRestartedArrivesOnceItIsBack) {
  RedisRateLimiter limiter{connect(server_.url(), kDefaults), config()};
  Reservation reservation = limiter.reserve("u", 5'000);
  ASSERT_EQ(server_.command({"SAVE"}).text(), "OK");
  server_.kill();
  std::thread restart([&] {
    std::this_thread::sleep_for(50ms);
    server_.restart();
  });
  reservation.settle(10);
  restart.join();
  EXPECT_TRUE(stands_at_without_a_call(10, 3s)) << counter("u");
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

}  // namespace
}  // namespace tollgate::tests
