// A limiter's decisions when Redis gives no usable reply.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <system_error>

#include "unit/doors/redis_rate_limiter_test.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using testing::error;
using testing::integer;
using testing::replies;
using ::testing::Throw;

TEST_F(LimiterUnderFailure, ThrowsTheFittingErrorUnderKThrow) {
  RedisRateLimiter limiter = this->limiter();
  expect_failure(testing::failure(Errc::kTimeout, true));
  try {
    static_cast<void>(limiter.consume("user", 10));
    FAIL() << "nothing was thrown";
  } catch (const TimeoutError& error) {
    EXPECT_TRUE(error.may_have_executed());
    EXPECT_TRUE(error.retryable());
  }
  expect_failure(testing::failure(Errc::kConnectFailed));
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("user", 10)), ConnectionError);
  expect_failure(replies({error("WRONGTYPE user data"), integer(1)}));
  try {
    static_cast<void>(limiter.consume("user", 10));
    FAIL() << "nothing was thrown";
  } catch (const ServerError& error) {
    EXPECT_EQ(error.code(), Errc::kWrongType);
    EXPECT_EQ(error.server_text(), "WRONGTYPE user data");
  }
  expect_failure(testing::failure(Errc::kOverloaded));
  EXPECT_THROW(static_cast<void>(limiter.peek("user")), ConnectionError);
}

TEST_F(LimiterUnderFailure, AdmitsTheRequestUnderKAllow) {
  RedisRateLimiter limiter = this->limiter(with_policy(FailurePolicy::kAllow));
  expect_failure(testing::failure(Errc::kTimeout, true));
  const Decision decision = limiter.consume("user", 10);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_EQ(decision.failure, Errc::kTimeout);
  EXPECT_EQ(decision.remaining, std::nullopt);
  expect_failure(testing::failure(Errc::kConnectFailed));
  EXPECT_TRUE(limiter.peek("user").allowed);
}

TEST_F(LimiterUnderFailure, RefusesTheRequestUnderKDeny) {
  RedisRateLimiter limiter = this->limiter(with_policy(FailurePolicy::kDeny));
  expect_failure(replies({error("LOADING"), error("LOADING Redis is loading the dataset in memory")}));
  const Decision decision = limiter.consume("user", 10);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_TRUE(decision.failure);
}

TEST_F(LimiterUnderFailure, StillDeniesTheImpossibleUnderKAllow) {
  EXPECT_FALSE(limiter(with_policy(FailurePolicy::kAllow)).check_and_consume("user", 101));
}

class LimiterWithLocalShare : public LimiterUnderFailure {
 protected:
  [[nodiscard]] RedisRateLimiter limiter(std::optional<std::int64_t> share) const {
    RateLimitConfig config = with_policy(FailurePolicy::kLocalShare);
    config.local_share = share;
    return LimiterTest::limiter(config);
  }
};

TEST_F(LimiterWithLocalShare, GrantsItAndPostsTheChargeForLater) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_failure(testing::failure(Errc::kConnectFailed));
  expect_post(adjustment_of(20));
  const Decision decision = limiter.consume("user", 20);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_EQ(decision.failure, Errc::kConnectFailed);
  EXPECT_EQ(decision.remaining, std::nullopt);

  expect_failure(testing::failure(Errc::kConnectFailed));
  EXPECT_FALSE(limiter.consume("user", 11).allowed);  // and posts nothing
}

TEST_F(LimiterWithLocalShare, IsATenthOfTheLimitByDefault) {
  RedisRateLimiter limiter = this->limiter(std::nullopt);
  expect_failure(testing::failure(Errc::kTimeout, true));
  EXPECT_FALSE(limiter.check_and_consume("user", 11));
  expect_failure(testing::failure(Errc::kTimeout, true));
  expect_post(adjustment_of(10));
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
}

TEST_F(LimiterWithLocalShare, CountsWhatRedisGrantedInThisMinute) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_charge(25, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 25));
  expect_failure(testing::failure(Errc::kTimeout));
  EXPECT_FALSE(limiter.check_and_consume("user", 6));
  clock_->advance(60s);
  expect_failure(testing::failure(Errc::kTimeout));
  expect_post("[EVALSHA adjust \"p:user:29453761\" 6 60]");
  EXPECT_TRUE(limiter.check_and_consume("user", 6));
}

TEST_F(LimiterWithLocalShare, CountsNoDenial) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_denied_charge(25, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 25));
  expect_failure(testing::failure(Errc::kTimeout));
  expect_post(adjustment_of(24));
  EXPECT_TRUE(limiter.check_and_consume("user", 24));
}

TEST_F(LimiterWithLocalShare, OnlyPeeksWithZeroTokens) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_failure(testing::failure(Errc::kTimeout));
  EXPECT_TRUE(limiter.peek("user").allowed);
}

TEST_F(LimiterWithLocalShare, ReservesFromItAndSettles) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_failure(testing::failure(Errc::kTimeout));
  expect_post(adjustment_of(20));
  Reservation reservation = limiter.reserve("user", 20);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 20);
  expect_post(adjustment_of(-15));
  reservation.settle(5);
}

TEST_F(LimiterUnderFailure, ReturnsTheFailureFromTryConsumeUnderEveryPolicy) {
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny}) {
    expect_failure(testing::failure(Errc::kTimeout, true));
    const Decision decision = limiter(with_policy(policy)).try_consume("user", 10);
    EXPECT_EQ(decision.allowed, policy == FailurePolicy::kAllow);
    EXPECT_EQ(decision.failure, Errc::kTimeout);
    EXPECT_EQ(decision.source, Source::kFallback);
    EXPECT_EQ(decision.reset_after, 60'000ms);
  }
}

TEST_F(LimiterUnderFailure, ThrowsUnderEveryPolicyWhereNoPolicyCanDecide) {
  for (const FailurePolicy policy :
       {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny, FailurePolicy::kLocalShare}) {
    RedisRateLimiter limiter = this->limiter(with_policy(policy));
    expect_failure(testing::failure(Errc::kTimeout));
    EXPECT_THROW(limiter.get_remaining("user"), TimeoutError);
    expect_failure(testing::failure(Errc::kTimeout));
    EXPECT_THROW(limiter.record("user", 10), TimeoutError);
    expect_failure(testing::failure(Errc::kTimeout));
    EXPECT_THROW(limiter.reset("user"), TimeoutError);
  }
}

TEST_F(LimiterUnderFailure, UndoesAChargeWhoseExpireWasRefused) {
  expect_failure(replies({integer(10), error("NOPERM no")}));
  expect_post(undo_of(10));
  EXPECT_THROW(static_cast<void>(limiter().consume("user", 10)), ServerError);
}

TEST_F(LimiterUnderFailure, PropagatesTheExceptionOfAnInjectedClientExceptFromTryConsume) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute).WillRepeatedly(Throw(std::runtime_error{"the client's own"}));
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), std::runtime_error);
  const Decision decision = limiter.try_consume("user", 10);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.failure, std::errc::io_error);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_EQ(decision.limit, 100);
  EXPECT_EQ(decision.reset_after, 60s);
}

TEST_F(LimiterUnderFailure, ReturnsNotEnoughMemoryFromTryConsume) {
  EXPECT_CALL(*client_, execute).WillOnce(Throw(std::bad_alloc{}));
  EXPECT_EQ(limiter().try_consume("user", 10).failure, std::errc::not_enough_memory);
}

TEST_F(LimiterUnderFailure, SurvivesAnInjectedClientThatThrowsWhereTheUndoIsPosted) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(10, 95);
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::runtime_error{"the client's own"}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_EQ(limiter.undelivered().batches, 1U);
  EXPECT_EQ(limiter.undelivered().tokens, 10U);
}

TEST_F(LimiterUnderFailure, CountsUndeliveredPosts) {
  RateLimitConfig config = this->config();
  config.deny_memory = 0ms;
  RedisRateLimiter limiter = this->limiter(config);
  for (const BatchResult& outcome :
       {testing::failure(Errc::kConnectionLost, true), replies({error("ERR no")}), replies({})}) {
    expect_charge(10, 95);
    EXPECT_CALL(*client_, post).WillOnce([&](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
      handler->handle(*client_, batch, outcome);
    });
    EXPECT_FALSE(limiter.check_and_consume("user", 10));
  }
  EXPECT_EQ(limiter.undelivered().batches, 3U);
  EXPECT_EQ(limiter.undelivered().tokens, 30U);
}

TEST_F(LimiterUnderFailure, CountsNothingThatWasDelivered) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(10, 95);
  EXPECT_CALL(*client_, post).WillOnce([&](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
    handler->handle(*client_, batch, replies({integer(95)}));
  });
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_EQ(limiter.undelivered().batches, 0U);
  EXPECT_EQ(limiter.undelivered().tokens, 0U);
}

}  // namespace
}  // namespace tollgate
