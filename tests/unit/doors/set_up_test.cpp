// A limiter whose Redis is misconfigured, refuses commands temporarily, or is a node of a Cluster.

#include "unit/doors/set_up_test.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

TEST_F(SetUpTest, PreloadsBothScripts) {
  const RedisRateLimiter limiter{client_, config()};
  EXPECT_THAT(client_->preloaded, ElementsAre(&kAdmitScript, &kAdjustScript));
}

TEST_F(SetUpTest, HasOneClockForTheLimiterAndItsStoreInMemory) {
  for (const bool with_options : {false, true}) {
    const auto decide = [&](RedisRateLimiter& limiter) {
      EXPECT_TRUE(limiter.consume("u", 600, {.operation_id = "1"}).allowed);
      clock_->advance(24h);
      EXPECT_TRUE(limiter.consume("u", 600, {.operation_id = "1"}).allowed);
      EXPECT_EQ(limiter.get_remaining("u"), 400);  // charged again, because the record has expired after two minutes
      clock_->advance(24h);
    };
    if (with_options) {
      RedisRateLimiter limiter{"memory://", config(Admission::kAtomic), ClientOptions{.command_timeout = 1s}};
      decide(limiter);
    } else {
      RedisRateLimiter limiter{"memory://", config(Admission::kAtomic)};
      decide(limiter);
    }
  }
}

// ---- refused temporarily ------------------------------------------------------------------------------------------

TEST_F(SetUpTest, RepeatsAnUndoThatRedisRefusesTemporarily) {
  for (const char* error : {"OOM command not allowed", "LOADING Redis is loading", "BUSY Redis is busy",
                            "READONLY You can't write", "MISCONF Redis is configured"}) {
    RedisRateLimiter limiter{client_, config()};
    ASSERT_TRUE(limiter.check_and_consume(error, 600));
    refuse(Operation::kScript, error);
    EXPECT_FALSE(limiter.check_and_consume(error, 600));
    EXPECT_EQ(client_->counter(error), 1200) << error;
    client_->run_later();
    EXPECT_EQ(client_->counter(error), 1200) << error;
    refuse_nothing();
    client_->run_later();
    EXPECT_EQ(client_->counter(error), 600) << error;
    client_->run_later();  // not repeated: it was executed once
    EXPECT_EQ(client_->counter(error), 600) << error;
    EXPECT_EQ(limiter.undelivered().batches, 0U) << error;
  }
  EXPECT_THAT(events(), IsEmpty());
}

TEST_F(SetUpTest, RepeatsASettlementAndOnlyTheCommandsThatWereRefused) {
  RedisRateLimiter limiter{client_, config()};
  Reservation reservation = limiter.reserve("u", 800);
  refuse(Operation::kScript, "OOM command not allowed");
  reservation.cancel();
  const std::vector<ConsumeRequest> two{{"v", 900}, {"w", 900}};
  static_cast<void>(limiter.consume_all(two));
  client_->refuse([](const Command& command) {
    return command.operation == Operation::kScript && command.key.starts_with("p:w") ? std::optional{"OOM no"}
                                                                                     : std::nullopt;
  });
  static_cast<void>(limiter.consume_all(two));
  EXPECT_EQ(client_->counter("v"), 900);
  EXPECT_EQ(client_->counter("w"), 1800);
  refuse_nothing();
  client_->run_later();
  EXPECT_EQ(client_->counter("u"), 0);
  EXPECT_EQ(client_->counter("v"), 900);
  EXPECT_EQ(client_->counter("w"), 900);
}

TEST_F(SetUpTest, PausesLongerEachTimeAndGivesUpInTheEnd) {
  RedisRateLimiter limiter{client_, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 600));
  refuse(Operation::kScript, "OOM command not allowed");
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  int repeated = 1;
  while (client_->run_later()) ASSERT_LT(++repeated, 100);
  EXPECT_GE(repeated, 10);
  for (std::size_t i = 1; i < client_->due.size(); ++i) EXPECT_GT(client_->due[i], client_->due[i - 1]);
  EXPECT_EQ(limiter.undelivered().batches, 1U);
  EXPECT_EQ(limiter.undelivered().tokens, 600U);
  static_cast<void>(limiter.try_consume("", 1));  // delivers events
  EXPECT_THAT(events(), ElementsAre("undo failed"));
}

TEST_F(SetUpTest, RepeatsNothingOfAWindowThatHasEnded) {
  RedisRateLimiter limiter{client_, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 600));
  refuse(Operation::kScript, "OOM command not allowed");
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  clock_->advance(60s);
  EXPECT_FALSE(client_->run_later());
  EXPECT_EQ(limiter.undelivered().tokens, 600U);
}

TEST_F(SetUpTest, RepeatsNothingThatMayHaveBeenExecuted) {
  RedisRateLimiter limiter{client_, config()};
  Reservation reservation = limiter.reserve("u", 600);
  client_->answer_posts(testing::failure(Errc::kConnectionLost, true));
  reservation.cancel();
  EXPECT_FALSE(client_->run_later());
  EXPECT_EQ(client_->posted.size(), 1U);
  EXPECT_EQ(limiter.undelivered().tokens, 600U);
}

// ---- scripts refused ----------------------------------------------------------------------------------------------

TEST_F(SetUpTest, ReportsAndCountsMisconfigurations) {
  for (const char* error : {"NOPERM no", "CROSSSLOT no", "ERR unknown command 'INCRBY'", "WRONGTYPE no"}) {
    RedisRateLimiter limiter{client_, config(Admission::kPipelined, FailurePolicy::kAllow)};
    refuse(Operation::kIncrBy, error);
    EXPECT_TRUE(limiter.consume("u", 1).allowed) << error;  // still the policy's answer
    EXPECT_TRUE(limiter.consume("u", 1).allowed) << error;
    EXPECT_EQ(limiter.stats().misconfigured, 2U) << error;
    const std::vector<std::string> names = events();
    EXPECT_EQ(std::count(names.begin(), names.end(), "misconfigured"), 1) << error;
    clock_->advance(60s);
    static_cast<void>(limiter.consume("u", 1));
    EXPECT_THAT(events(), ::testing::Contains("misconfigured")) << error;  // the first in each minute
  }
}

TEST_F(SetUpTest, ReportsNoOutageAsAMisconfiguration) {
  RedisRateLimiter limiter{client_, config(Admission::kPipelined, FailurePolicy::kAllow)};
  refuse(Operation::kIncrBy, "OOM command not allowed");
  EXPECT_TRUE(limiter.consume("u", 1).allowed);
  EXPECT_EQ(limiter.stats().misconfigured, 0U);
  EXPECT_THAT(events(), ElementsAre("fallback entered"));
  EXPECT_NO_THROW(limiter.ping());
}

TEST_F(SetUpTest, FailsAPingAfterAMisconfigurationInThisMinute) {
  RedisRateLimiter limiter{client_, config(Admission::kPipelined, FailurePolicy::kAllow)};
  const auto ping = [&] {
    try {
      limiter.ping();
      return std::error_code{};
    } catch (const Error& error) {
      return error.code();
    }
  };
  const auto fail = [&] {
    refuse(Operation::kIncrBy, "NOPERM no");
    static_cast<void>(limiter.consume("u", 1));
    refuse_nothing();
  };
  fail();
  EXPECT_EQ(ping(), Errc::kPermissionDenied);
  clock_->advance(60s);
  EXPECT_EQ(ping(), std::error_code{});
  fail();
  static_cast<void>(limiter.consume("another user", 1));  // answered: the error may concern one user alone
  EXPECT_EQ(ping(), Errc::kPermissionDenied);
}

TEST_F(SetUpTest, CountsAndReportsARecordThatTheSetUpRefuses) {
  RedisRateLimiter limiter{client_, config()};
  refuse(Operation::kScript, "NOPERM No permissions to access a key");
  EXPECT_THROW(limiter.record("u", 1), Error);
  EXPECT_EQ(limiter.stats().misconfigured, 1U);
  EXPECT_THAT(events(), ElementsAre("misconfigured"));
}

TEST_F(SetUpTest, AdmitsNothingThatAnotherNodeOfTheClusterHolds) {
  for (const FailurePolicy policy : {FailurePolicy::kAllow, FailurePolicy::kLocalShare, FailurePolicy::kDeny}) {
    RedisRateLimiter limiter{client_, config(Admission::kPipelined, policy)};
    client_->refuse([](const Command&) { return std::optional{"MOVED 3999 127.0.0.1:6381"}; });
    const Decision decision = limiter.consume("u", 1);
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.failure, Errc::kMoved);
    EXPECT_EQ(limiter.stats().misconfigured, 1U);
  }
  RedisRateLimiter limiter{client_, config()};
  EXPECT_THROW(static_cast<void>(limiter.consume("u", 1)), ServerError);
}

// ---- a Cluster ----------------------------------------------------------------------------------------------------

TEST_F(SetUpTest, ChargesAnOperationOnceInAClusterAlsoInTheNextMinute) {
  client_->act_as_cluster();
  for (const char* const user : {"u", "{u}", "{", "}", "{}"}) {
    RedisRateLimiter limiter{client_, config(Admission::kAtomic)};
    const Decision first = limiter.consume(user, 600, {.operation_id = "op}"});
    EXPECT_TRUE(first.allowed) << user;
    EXPECT_TRUE(limiter.consume(user, 600, {.operation_id = "op}"}).allowed) << user;
    EXPECT_EQ(client_->counter(user), 600) << user;
    EXPECT_FALSE(limiter.consume(user, 600, {.operation_id = "another"}).allowed) << user;
    clock_->advance(60s);
    EXPECT_TRUE(limiter.consume(user, 600, {.operation_id = "op}"}).allowed) << user;
    EXPECT_EQ(client_->counter(user), std::nullopt) << user;
    limiter.record(user, 5, {.operation_id = "r"});
    limiter.record(user, 5, {.operation_id = "r"});
    EXPECT_EQ(client_->counter(user), 5) << user;
    clock_->advance(60s);
    limiter.record(user, 5, {.operation_id = "r"});
    EXPECT_EQ(client_->counter(user), std::nullopt) << user;
  }
}

TEST_F(SetUpTest, SettlesAReservationOnceInAClusterInAnyMinute) {
  client_->act_as_cluster();
  for (const Admission admission : {Admission::kAtomic, Admission::kPipelined}) {
    RedisRateLimiter limiter{client_, config(admission)};
    Reservation reservation = limiter.reserve("u", 100);
    const std::string token = reservation.token();
    Reservation one = limiter.adopt(token);
    Reservation other = limiter.adopt(token);
    one.settle(10);
    other.settle(10);
    reservation.settle(10);
    EXPECT_EQ(client_->counter("u"), 10);

    const std::string excessive = limiter.reserve("v", 100).token();
    clock_->advance(60s);
    limiter.adopt(excessive).settle(150);
    EXPECT_EQ(client_->counter("v"), 50);
    clock_->advance(60s);
    limiter.adopt(excessive).settle(150);
    EXPECT_EQ(client_->counter("v"), std::nullopt);
    EXPECT_EQ(limiter.undelivered().batches, 0U);
  }
}

TEST_F(SetUpTest, RemembersThatTheServerIsACluster) {
  client_->act_as_cluster();
  RedisRateLimiter limiter{client_, config(Admission::kAtomic)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1, {.operation_id = "1"}));
  EXPECT_EQ(client_->executed.size(), 3U);  // refused; no earlier record; charged
  client_->executed.clear();
  ASSERT_TRUE(limiter.check_and_consume("u", 1, {.operation_id = "2"}));
  EXPECT_EQ(client_->executed.size(), 2U);
}

}  // namespace
}  // namespace tollgate
