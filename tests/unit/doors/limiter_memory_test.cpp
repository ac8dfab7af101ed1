// A limiter's deny memory, its atomic admission, and charges whose replies come late.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "unit/doors/redis_rate_limiter_test.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::_;
using ::testing::DoAll;
using ::testing::InSequence;
using testing::integer;
using testing::ManualClock;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;
using ::testing::Throw;

TEST_F(LimiterRemembers, ADenialByPeekingFirstAndThenTheTokensLeft) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);

  expect_peek(80);
  const Decision looked = limiter.consume("user", 60);
  EXPECT_FALSE(looked.allowed);
  EXPECT_EQ(looked.source, Source::kRedis);
  EXPECT_EQ(looked.remaining, 20);

  clock_->advance(999ms);
  const Decision remembered = limiter.consume("user", 21);
  EXPECT_FALSE(remembered.allowed);
  EXPECT_EQ(remembered.source, Source::kLocal);
  EXPECT_EQ(remembered.remaining, std::nullopt);
  EXPECT_EQ(remembered.retry_after, 59'001ms);
  EXPECT_FALSE(remembered.failure);

  clock_->advance(1ms);
  expect_peek(80);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);
}

TEST_F(LimiterRemembers, NothingAgainstWhatStillFits) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_charge(20, 80);
  EXPECT_TRUE(limiter.check_and_consume("user", 20));
}

TEST_F(LimiterRemembers, ToChargeAfterAPeekThatShowsRoom) {
  const InSequence in_sequence;
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(0);
  expect_charge(60, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
  expect_charge(40, 60);
  EXPECT_TRUE(limiter.check_and_consume("user", 40));
}

TEST_F(LimiterRemembers, NoReadingAboveTheLimit) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  for (int i = 0; i < 3; ++i) {
    expect_peek(140);
    EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);
  }
  expect_charge(1, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 1));
}

TEST_F(LimiterRemembers, AFullBudgetUntilTheMinuteEnds) {
  RedisRateLimiter limiter = this->limiter();
  clock_->advance(59'500ms);
  expect_denied_charge(60, 100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(limiter.consume("user", 1).source, Source::kLocal);
  clock_->advance(500ms);
  expect_execute("[INCRBY \"p:user:29453761\" 1, EXPIRE \"p:user:29453761\" 60]", {integer(1), integer(1)});
  EXPECT_TRUE(limiter.check_and_consume("user", 1));
}

TEST_F(LimiterRemembers, NothingOfAUserWhoWasReset) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_reset();
  limiter.reset("user");
  expect_charge(60, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
}

TEST_F(LimiterRemembers, NothingThatWasLeftBeforeAReset) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_reset();
  EXPECT_CALL(*client_, execute(Is(peek()), _, _))
      .WillOnce([&](const auto&, auto, const auto&) {
        limiter.reset("user");  // by another thread, while this one waits
        return replies({testing::bulk("80")});
      })
      .RetiresOnSaturation();
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_charge(60, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
}

TEST_F(LimiterRemembers, NothingAboutOtherUsers) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_execute("[INCRBY \"p:other:29453760\" 60, EXPIRE \"p:other:29453760\" 60]", {integer(60), integer(1)});
  EXPECT_TRUE(limiter.check_and_consume("other", 60));
}

TEST_F(LimiterRemembers, NothingWhenSwitchedOff) {
  RateLimitConfig config = this->config();
  config.deny_memory = 0ms;
  RedisRateLimiter limiter = this->limiter(config);
  for (int i = 0; i < 3; ++i) {
    expect_denied_charge(60, 80);
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
  }
}

TEST_F(LimiterRemembers, NothingOfAFailedPeek) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  for (int i = 0; i < 2; ++i) {
    EXPECT_CALL(*client_, execute(Is(peek()), _, _)).WillOnce(Return(testing::failure(Errc::kTimeout)));
    EXPECT_THROW(static_cast<void>(limiter.consume("user", 60)), TimeoutError);
  }
}

TEST_F(LimiterRemembers, NothingAcrossAClockThatJumpsBack) {
  RedisRateLimiter limiter = this->limiter();
  clock_->advance(5s);
  expect_denied_charge(60, 100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));

  clock_->set(ManualClock::kStart - 10s);
  expect_execute("[INCRBY \"p:user:29453759\" 60, EXPIRE \"p:user:29453759\" 60]", {integer(60), integer(1)});
  const Decision decision = limiter.consume("user", 60);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.reset_after, 10'000ms);
}

TEST_F(LimiterRemembers, AsLongAsBeforeWhenOnlyTheCalendarJumps) {
  RedisRateLimiter limiter = this->limiter();
  clock_->advance(30s);
  expect_denied_charge(60, 100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  clock_->set(ManualClock::kStart);  // within the same minute
  clock_->advance(999ms);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kLocal);
  clock_->advance(1ms);
  expect_peek(100);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);
}

TEST_F(AtomicLimiter, AdmitsAndDeniesInOneRoundTripWithNothingToUndo) {
  RedisRateLimiter limiter = this->limiter(atomic());
  expect_execute(atomic_charge_of(60), {integer(60)});
  EXPECT_EQ(limiter.consume("user", 60).remaining, 40);
  expect_execute(atomic_charge_of(60), {integer(-61)});
  const Decision denied = limiter.consume("user", 60);
  EXPECT_FALSE(denied.allowed);
  EXPECT_EQ(denied.remaining, 40);
}

TEST_F(AtomicLimiter, RemembersADenialAtOnce) {
  RedisRateLimiter limiter = this->limiter(atomic());
  expect_execute(atomic_charge_of(60), {integer(-81)});
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(limiter.consume("user", 21).source, Source::kLocal);
  expect_execute(atomic_charge_of(20), {integer(100)});
  EXPECT_TRUE(limiter.check_and_consume("user", 20));
  clock_->advance(1000ms);
  expect_execute(atomic_charge_of(60), {integer(-101)});
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);
}

TEST_F(AtomicLimiter, RemembersNoReadingAboveTheLimit) {
  RedisRateLimiter limiter = this->limiter(atomic());
  for (int i = 0; i < 2; ++i) {
    expect_execute(atomic_charge_of(60), {integer(-141)});
    EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);
  }
}

TEST_F(AtomicLimiter, SendsEveryOperationWithAnIdToRedisAndRemembersNoneOfThem) {
  RedisRateLimiter limiter = this->limiter(atomic());
  const std::string operation = "[EVALSHA admit \"p:user:29453760\" \"p:user:charge:op-1:4:\" 60 100 60 29453760 120]";
  const Reply denied = testing::array({integer(-81), integer(kMinute)});
  expect_execute(operation, {denied});
  EXPECT_FALSE(limiter.check_and_consume("user", 60, {.operation_id = "op-1"}));
  expect_execute(atomic_charge_of(60), {integer(-81)});
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_execute(operation, {denied});
  EXPECT_EQ(limiter.consume("user", 60, {.operation_id = "op-1"}).source, Source::kRedis);
}

TEST_F(AtomicLimiter, RecordsAnOperationOnce) {
  expect_execute("[EVALSHA adjust \"p:user:29453760\" \"p:user:adjust:op-1:4:\" 30 60 120]",
                 {integer(kAlreadyAdjusted)});
  EXPECT_NO_THROW(limiter(atomic()).record("user", 30, {.operation_id = "op-1"}));
}

TEST_F(LateCharges, AreUndoneAlsoAfterTheLimitersEnd) {
  expect_charge_that_is_lost(Errc::kTimeout);
  EXPECT_THROW(static_cast<void>(limiter().consume("user", 10)), TimeoutError);
  ASSERT_NE(late_, nullptr);
  expect_post(undo_of(10));
  late_->handle(*client_, batch_, replies({integer(10), integer(1)}));
}

TEST_F(LateCharges, StayUnderKAllowWhichAdmittedTheRequest) {
  expect_charge_that_is_lost(Errc::kTimeout);
  EXPECT_TRUE(limiter(with_policy(FailurePolicy::kAllow)).check_and_consume("user", 10));
  late_->handle(*client_, batch_, replies({integer(10), integer(1)}));
}

TEST_F(LateCharges, WhoseRepliesNeverComeGetTheirExpiryAgain) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge_that_is_lost(Errc::kConnectionLost);
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), ConnectionError);
  expect_post("[EXPIRE \"p:user:29453760\" 60]");
  late_->handle(*client_, batch_, testing::failure(Errc::kConnectionLost, true));
}

TEST_F(LateCharges, WhoseExpiryIsLostTooGetItAgainUntilRedisAnswersOrTheClientEnds) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge_that_is_lost(Errc::kConnectionLost);
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), ConnectionError);

  std::shared_ptr<ReplyHandler> repair;
  CommandBatch expiry;
  EXPECT_CALL(*client_, post).Times(4).WillRepeatedly(DoAll(SaveArg<0>(&expiry), SaveArg<1>(&repair)));
  late_->handle(*client_, batch_, testing::failure(Errc::kConnectionLost, true));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(expiry[0].operation, Operation::kExpire);
    repair->handle(*client_, expiry, testing::failure(Errc::kConnectionLost, true));
  }
  EXPECT_EQ(limiter.undelivered().batches, 0U);
  repair->handle(*client_, expiry, testing::failure(Errc::kConnectionLost, false));  // the client was destroyed
  EXPECT_EQ(limiter.undelivered().batches, 1U);
}

TEST_F(LateCharges, AreCountedWhenTheirUndoCannotBePosted) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge_that_is_lost(Errc::kTimeout);
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), TimeoutError);
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::runtime_error{"the client's own"}));
  late_->handle(*client_, batch_, replies({integer(10), integer(1)}));
  EXPECT_EQ(limiter.undelivered().batches, 1U);
}

}  // namespace
}  // namespace tollgate
