// A limiter whose Redis refuses to run scripts, from the start or later.

#include "unit/doors/set_up_test.hpp"

namespace tollgate {
namespace {

TEST_F(SetUpTest, GivesBackByIncrByAfterScriptsWereRefused) {
  client_->set_script_refusal({Errc::kPermissionDenied, false, "EVAL was answered with NOPERM"});
  refuse(Operation::kScript, "NOPERM this user has no permissions to run the 'evalsha' command");
  RedisRateLimiter limiter{client_, config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 600));
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  EXPECT_TRUE(limiter.check_and_consume("u", 300));
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  EXPECT_EQ(client_->counter("u"), 900);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
  EXPECT_THAT(events(), ElementsAre("scripts refused"));  // once
  EXPECT_THAT(observer_->last.detail, HasSubstr("+evalsha"));
}

TEST_F(SetUpTest, GivesBackByIncrByWhenAScriptIsRefused) {
  for (const char* error :
       {"NOPERM this user has no permissions to run the 'evalsha' command", "ERR unknown command 'EVALSHA'"}) {
    refuse(Operation::kScript, error);
    RedisRateLimiter limiter{client_, config()};
    EXPECT_TRUE(limiter.check_and_consume(error, 600));
    EXPECT_FALSE(limiter.check_and_consume(error, 600));
    EXPECT_TRUE(limiter.check_and_consume(error, 300));
    EXPECT_EQ(client_->counter(error), 900);
    EXPECT_EQ(limiter.undelivered().batches, 0U);
    EXPECT_THAT(events(), ElementsAre("scripts refused"));
  }
}

TEST_F(SetUpTest, SettlesAndRecordsWithoutScriptsWhereTheyAreRefused) {
  client_->set_script_refusal({Errc::kUnknownCommand});
  refuse(Operation::kScript, "ERR unknown command 'EVALSHA'");
  RedisRateLimiter limiter{client_, config()};
  Reservation less = limiter.reserve("u", 100);
  less.settle(40);
  EXPECT_EQ(client_->counter("u"), 40);
  Reservation more = limiter.reserve("u", 100);
  more.settle(150);
  EXPECT_EQ(client_->counter("u"), 190);
  limiter.record("u", 10);
  EXPECT_EQ(client_->counter("u"), 200);

  Reservation late = limiter.reserve("u", 100);
  clock_->advance(90s);
  late.cancel();  // that window has ended: its counter is not created again
  EXPECT_EQ(client_->counter("u", 1), std::nullopt);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(SetUpTest, NamesTheRightToGrantInPing) {
  RedisRateLimiter limiter{client_, config()};
  EXPECT_NO_THROW(limiter.ping());
  client_->set_script_refusal({Errc::kPermissionDenied, false, "EVAL was answered with NOPERM"});
  try {
    limiter.ping();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::kPermissionDenied);
    EXPECT_TRUE(error.misconfiguration());
    EXPECT_THAT(error.what(), HasSubstr("+eval +evalsha"));
  }
  EXPECT_THAT(events(), ElementsAre("scripts refused"));
  client_->set_script_refusal({});
  EXPECT_NO_THROW(limiter.ping());
}

// ---- misconfigurations --------------------------------------------------------------------------------------------

TEST_F(SetUpTest, ReportsARevokedRightOnceAndInPingsUntilAScriptIsAnswered) {
  RedisRateLimiter limiter{client_, config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 600));
  refuse(Operation::kScript, "NOPERM User app has no permissions to run the 'eval' command");
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(limiter.check_and_consume("u", 600));
    clock_->advance(2s);  // a script is tried again
  }
  EXPECT_EQ(client_->counter("u"), 600);
  EXPECT_THAT(events(), ElementsAre("scripts refused"));
  EXPECT_THAT(message_of([&] { limiter.ping(); }), HasSubstr("+evalsha"));
  refuse_nothing();
  limiter.ping();
  refuse(Operation::kScript, "NOPERM User app has no permissions to run the 'eval' command");
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  EXPECT_THAT(events(), ElementsAre("scripts refused"));  // again
}

TEST_F(SetUpTest, TriesAScriptOnceASecondWhileTheyAreRefused) {
  RedisRateLimiter limiter{client_, config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 600));
  int scripts = 0;
  client_->refuse([&](const Command& command) {
    if (command.operation != Operation::kScript) return std::optional<std::string>{};
    ++scripts;
    return std::optional<std::string>{"NOPERM User app has no permissions to run the 'eval' command"};
  });
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(limiter.check_and_consume("u", 600));
    clock_->advance(200ms);
  }
  EXPECT_EQ(scripts, 2);
}

TEST_F(SetUpTest, RecordsWhereTheFirstScriptOfAllIsRefused) {
  RedisRateLimiter limiter{client_, config()};
  refuse(Operation::kScript, "NOPERM User app has no permissions to run the 'eval' command");
  limiter.record("u", 70);
  EXPECT_EQ(client_->counter("u"), 70);
}

}  // namespace
}  // namespace tollgate
