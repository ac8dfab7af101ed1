// Every counter of a limiter moves when, and only when, it should: each test compares all that moved.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/stats.hpp"
#include "unit/doors/limiter_test.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::DoAll;
using testing::error;
using testing::integer;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;
using ::testing::Throw;

class LimiterStats : public LimiterTest {
 protected:
  LimiterStats() { deliver_posts(); }

  /// The counters of `limiter` that have changed since the last call: "allowed by redis 2, failed 1".
  std::string moved(const RedisRateLimiter& limiter) {
    EXPECT_CALL(*client_, stats).Times(1).RetiresOnSaturation();
    const Stats now = limiter.stats();
    const Stats before = std::exchange(last_, now);
    std::string text;
    const auto add = [&](const char* name, std::uint64_t was, std::uint64_t is) {
      if (is == was) return;
      if (!text.empty()) text += ", ";
      text.append(name).append(" ").append(std::to_string(is - was));
    };
    add("allowed by redis", before.allowed.by_redis, now.allowed.by_redis);
    add("allowed locally", before.allowed.locally, now.allowed.locally);
    add("allowed by policy", before.allowed.by_policy, now.allowed.by_policy);
    add("denied by redis", before.denied.by_redis, now.denied.by_redis);
    add("denied locally", before.denied.locally, now.denied.locally);
    add("denied by policy", before.denied.by_policy, now.denied.by_policy);
    add("failed", before.failed, now.failed);
    add("in doubt", before.in_doubt, now.in_doubt);
    add("tokens in doubt", before.in_doubt_tokens, now.in_doubt_tokens);
    add("undelivered", before.undelivered.batches, now.undelivered.batches);
    add("tokens undelivered", before.undelivered.tokens, now.undelivered.tokens);
    add("dropped", before.reservations_dropped, now.reservations_dropped);
    EXPECT_EQ(limiter.undelivered().batches, now.undelivered.batches);
    EXPECT_EQ(limiter.undelivered().tokens, now.undelivered.tokens);
    return text;
  }

  void expect_failure(BatchResult failure) {
    EXPECT_CALL(*client_, execute).WillOnce(Return(std::move(failure))).RetiresOnSaturation();
  }
  void expect_post_that_ends_in(const BatchResult& result) {
    EXPECT_CALL(*client_, post)
        .WillOnce([this, result](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
          handler->handle(*client_, batch, result);
        })
        .RetiresOnSaturation();
  }

  static inline const BatchResult kNotSent = testing::failure(Errc::kConnectFailed);
  static inline const BatchResult kLost = testing::failure(Errc::kTimeout, true);

  Stats last_;
};

TEST_F(LimiterStats, AreZeroWhenNothingHasHappened) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_EQ(moved(limiter), "");
  EXPECT_EQ(last_.allowed.total() + last_.denied.total(), 0U);
}

TEST_F(LimiterStats, CountWhatRedisDecides) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(60, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(moved(limiter), "allowed by redis 1");
  expect_denied_charge(60, 60);
  EXPECT_FALSE(limiter.try_consume("user", 60).allowed);
  EXPECT_EQ(moved(limiter), "denied by redis 1");
  expect_peek(60);
  EXPECT_TRUE(limiter.peek("user").allowed);
  EXPECT_EQ(moved(limiter), "allowed by redis 1");
  EXPECT_EQ(last_.allowed.total(), 2U);
}

TEST_F(LimiterStats, CountAPeekBeforeAChargeAsOneDecision) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 60);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(moved(limiter), "denied by redis 1");
  expect_peek(0);
  expect_charge(60, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(moved(limiter), "allowed by redis 1");
  expect_denied_charge(60, 60);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_peek(60);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(moved(limiter), "denied by redis 2");
}

TEST_F(LimiterStats, CountWhatIsDeniedWithoutARoundTrip) {
  RedisRateLimiter limiter = this->limiter(atomic());
  EXPECT_FALSE(limiter.check_and_consume("user", 101));
  EXPECT_EQ(moved(limiter), "denied locally 1");
  expect_execute(atomic_charge_of(60), {integer(-81)});
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(moved(limiter), "denied by redis 1");
  EXPECT_FALSE(limiter.consume("user", 60).allowed);
  EXPECT_FALSE(limiter.try_consume("user", 60).allowed);
  EXPECT_EQ(moved(limiter), "denied locally 2");
}

TEST_F(LimiterStats, CountWhatThePolicyDecides) {
  expect_failure(kNotSent);
  RedisRateLimiter denying = limiter(with_policy(FailurePolicy::kDeny));
  EXPECT_FALSE(denying.check_and_consume("user", 10));
  EXPECT_EQ(moved(denying), "denied by policy 1");

  last_ = {};
  expect_failure(kNotSent);
  RedisRateLimiter allowing = limiter(with_policy(FailurePolicy::kAllow));
  EXPECT_TRUE(allowing.peek("user").allowed);
  EXPECT_EQ(moved(allowing), "allowed by policy 1");

  last_ = {};
  RedisRateLimiter sharing = limiter(with_policy(FailurePolicy::kLocalShare));
  expect_failure(kNotSent);
  expect_post(adjustment_of(10));
  EXPECT_TRUE(sharing.check_and_consume("user", 10));
  EXPECT_EQ(moved(sharing), "allowed by policy 1");
  expect_failure(kNotSent);
  EXPECT_FALSE(sharing.check_and_consume("user", 1));
  EXPECT_EQ(moved(sharing), "denied by policy 1");
}

TEST_F(LimiterStats, CountWhatIsThrownAsFailedAndWhatTryConsumeDeniesInstead) {
  RedisRateLimiter limiter = this->limiter();
  expect_failure(kNotSent);
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("user", 10)), ConnectionError);
  EXPECT_EQ(moved(limiter), "failed 1");
  expect_failure(kNotSent);
  EXPECT_THROW(static_cast<void>(limiter.reserve("user", 10)), ConnectionError);
  EXPECT_EQ(moved(limiter), "failed 1");
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.try_consume("user", 10).allowed);
  EXPECT_EQ(moved(limiter), "denied by policy 1");
}

TEST_F(LimiterStats, CountCallsThatArentDecisionsOnlyWhenTheyThrow) {
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny}) {
    last_ = {};
    RedisRateLimiter limiter = this->limiter(with_policy(policy));
    expect_peek(10);
    EXPECT_EQ(limiter.get_remaining("user"), 90);
    expect_execute(adjustment_of(10), {integer(10)});
    limiter.record("user", 10);
    limiter.record("user", 0);
    expect_execute("[PING]", {testing::status("PONG")});
    limiter.ping();
    EXPECT_CALL(*client_, drain).WillOnce(Return(false));
    EXPECT_FALSE(limiter.drain({}));
    EXPECT_EQ(moved(limiter), "");

    EXPECT_CALL(*client_, execute).Times(4).WillRepeatedly(Return(kNotSent));
    EXPECT_THROW(limiter.get_remaining("user"), ConnectionError);
    EXPECT_THROW(limiter.record("user", 10), ConnectionError);
    EXPECT_THROW(limiter.ping(), ConnectionError);
    EXPECT_THROW(limiter.reset("user"), ConnectionError);
    EXPECT_EQ(moved(limiter), "failed 4");
  }
}

TEST_F(LimiterStats, CountNoArgumentOutOfRangeButForTryConsumeWhichDeniesIt) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_THROW(static_cast<void>(limiter.consume("", 1)), std::invalid_argument);
  EXPECT_THROW(limiter.record("user", -1), std::invalid_argument);
  EXPECT_EQ(moved(limiter), "");
  EXPECT_FALSE(limiter.try_consume("", 1).allowed);
  EXPECT_EQ(moved(limiter), "denied locally 1");
}

TEST_F(LimiterStats, CountAnInjectedClientsExceptionOnlyWhereTryConsumeDeniesInstead) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute)
      .WillOnce(Throw(std::bad_alloc{}))
      .WillOnce(Throw(std::bad_alloc{}))
      .WillOnce(Throw(std::runtime_error{"the client's own"}));
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), std::bad_alloc);
  EXPECT_EQ(moved(limiter), "");
  EXPECT_FALSE(limiter.try_consume("user", 10).allowed);
  EXPECT_FALSE(limiter.try_consume("user", 10).allowed);
  EXPECT_EQ(moved(limiter), "denied by policy 2");
}

TEST_F(LimiterStats, CountChargesWhoseReplyWasLostAsInDoubt) {
  RedisRateLimiter limiter = this->limiter();
  expect_failure(kLost);
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), TimeoutError);
  EXPECT_EQ(moved(limiter), "failed 1, in doubt 1, tokens in doubt 10");
  expect_failure(kLost);
  EXPECT_FALSE(limiter.try_consume("user", 20).allowed);
  EXPECT_EQ(moved(limiter), "denied by policy 1, in doubt 1, tokens in doubt 20");
  expect_failure(kLost);
  EXPECT_THROW(limiter.record("user", 30), TimeoutError);
  EXPECT_EQ(moved(limiter), "failed 1, in doubt 1, tokens in doubt 30");
}

TEST_F(LimiterStats, CountReservationsInDoubtLikewise) {
  RedisRateLimiter limiter = this->limiter(with_policy(FailurePolicy::kAllow));
  expect_failure(kLost);
  Reservation reservation = limiter.reserve("user", 10);
  EXPECT_EQ(moved(limiter), "allowed by policy 1, in doubt 1, tokens in doubt 10");
  expect_failure(kLost);
  EXPECT_TRUE(reservation.add(5).allowed);
  EXPECT_EQ(moved(limiter), "allowed by policy 1, in doubt 1, tokens in doubt 5");
  reservation.settle(15);
  EXPECT_EQ(moved(limiter), "");
}

TEST_F(LimiterStats, CountNoPeekAndNoPingAsInDoubt) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute).Times(4).WillRepeatedly(Return(kLost));
  EXPECT_THROW(static_cast<void>(limiter.peek("user")), TimeoutError);
  EXPECT_THROW(limiter.get_remaining("user"), TimeoutError);
  EXPECT_THROW(limiter.ping(), TimeoutError);
  EXPECT_THROW(limiter.reset("user"), TimeoutError);
  EXPECT_EQ(moved(limiter), "failed 4");
}

TEST_F(LimiterStats, CountNoRefusedChargeAsInDoubt) {
  RedisRateLimiter limiter = this->limiter();
  expect_failure(replies({error("OOM no"), integer(0)}));
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), ServerError);
  expect_failure(replies({integer(10), error("NOPERM no")}));
  expect_post(undo_of(10));
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), ServerError);
  EXPECT_EQ(moved(limiter), "failed 2");
}

TEST_F(LimiterStats, CountUndeliveredPosts) {
  RateLimitConfig config = with_policy(FailurePolicy::kLocalShare);
  config.deny_memory = 0ms;
  RedisRateLimiter limiter = this->limiter(config);
  for (const BatchResult& vain : {kNotSent, kLost, replies({error("ERR no")}), replies({})}) {
    expect_charge(60, 60);
    expect_post_that_ends_in(vain);
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
    EXPECT_EQ(moved(limiter), "denied by redis 1, undelivered 1, tokens undelivered 60");
  }
  expect_charge(30, 0);
  Reservation reservation = limiter.reserve("user", 30);
  expect_post_that_ends_in(kLost);
  reservation.settle(10);
  EXPECT_EQ(moved(limiter), "allowed by redis 1, undelivered 1, tokens undelivered 20");

  clock_->advance(60s);
  expect_failure(kNotSent);
  expect_post_that_ends_in(kNotSent);
  EXPECT_TRUE(limiter.check_and_consume("user", 5));
  EXPECT_EQ(moved(limiter), "allowed by policy 1, undelivered 1, tokens undelivered 5");

  expect_charge(60, 60);
  expect_post_that_ends_in(replies({integer(60)}));
  clock_->set(testing::ManualClock::kStart);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_EQ(moved(limiter), "denied by redis 1");
}

TEST_F(LimiterStats, CountTheOutcomesOfLateCharges) {
  RedisRateLimiter limiter = this->limiter();
  std::shared_ptr<ReplyHandler> late;
  CommandBatch batch;
  const auto consume_and_lose = [&] {
    EXPECT_CALL(*client_, execute).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<2>(&late), Return(kLost)));
    EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), TimeoutError);
    EXPECT_EQ(moved(limiter), "failed 1, in doubt 1, tokens in doubt 10");
  };

  consume_and_lose();
  expect_post(undo_of(10));
  late->handle(*client_, batch, replies({integer(10), integer(1)}));
  EXPECT_EQ(moved(limiter), "");

  consume_and_lose();
  expect_post_that_ends_in(kNotSent);
  late->handle(*client_, batch, replies({integer(10), integer(1)}));
  EXPECT_EQ(moved(limiter), "undelivered 1, tokens undelivered 10");

  consume_and_lose();
  expect_post_that_ends_in(kNotSent);  // the expiry
  late->handle(*client_, batch, kLost);
  EXPECT_EQ(moved(limiter), "undelivered 1");

  consume_and_lose();
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::bad_alloc{}));
  late->handle(*client_, batch, replies({integer(10), integer(1)}));
  EXPECT_EQ(moved(limiter), "undelivered 1, tokens undelivered 10");

  consume_and_lose();
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::bad_alloc{}));
  late->handle(*client_, batch, kLost);
  EXPECT_EQ(moved(limiter), "undelivered 1");
}

TEST_F(LimiterStats, CountEveryDroppedReservation) {
  RedisRateLimiter limiter = this->limiter();
  for (int i = 0; i < 3; ++i) {
    expect_charge(10, 10 * i);
    static_cast<void>(limiter.reserve("user", 10));
    EXPECT_EQ(moved(limiter), "allowed by redis 1, dropped 1");
  }
}

TEST_F(LimiterStats, CountNoReservationAsDroppedThatHasNothingToSettle) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 60);
  static_cast<void>(limiter.reserve("user", 60));
  expect_peek(0);
  static_cast<void>(limiter.reserve("user", 0));
  EXPECT_EQ(moved(limiter), "allowed by redis 1, denied by redis 1");

  last_ = {};
  RedisRateLimiter allowing = this->limiter(with_policy(FailurePolicy::kAllow));
  expect_failure(kNotSent);
  static_cast<void>(allowing.reserve("user", 10));  // uncounted
  EXPECT_EQ(moved(allowing), "allowed by policy 1");
}

TEST_F(LimiterStats, CountNoReservationAsDroppedThatHasEnded) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(10, 0);
  limiter.reserve("user", 10).settle(10);
  expect_charge(10, 0);
  expect_post(undo_of(10));
  limiter.reserve("user", 10).cancel();
  expect_charge(10, 0);
  const std::string token = limiter.reserve("user", 10).token();
  EXPECT_EQ(moved(limiter), "allowed by redis 3");

  static_cast<void>(limiter.adopt(token));  // the adopting process must settle it
  EXPECT_EQ(moved(limiter), "dropped 1");
  static_cast<void>(limiter.adopt(token).token());
  EXPECT_EQ(moved(limiter), "");
}

TEST_F(LimiterStats, CountAMovedReservationWhereItEnds) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(10, 0);
  {
    Reservation first = limiter.reserve("user", 10);
    { const Reservation second = std::move(first); }
    EXPECT_EQ(moved(limiter), "allowed by redis 1, dropped 1");
  }
  EXPECT_EQ(moved(limiter), "");

  expect_charge(10, 0);
  expect_charge(20, 10);
  Reservation first = limiter.reserve("user", 20);
  Reservation second = limiter.reserve("user", 10);
  first = std::move(second);
  EXPECT_EQ(moved(limiter), "allowed by redis 2, dropped 1");
  Reservation& itself = first;
  first = std::move(itself);
  EXPECT_EQ(first.tokens(), 10);
  first.settle(10);
  EXPECT_EQ(moved(limiter), "");
}

TEST_F(LimiterStats, HoldThoseOfTheClient) {
  ClientStats client;
  client.failed = 3;
  client.latency.counts[4] = 7;
  EXPECT_CALL(*client_, stats).WillOnce(Return(client));
  const Stats stats = limiter().stats();
  EXPECT_EQ(stats.client.failed, 3U);
  EXPECT_EQ(stats.client.latency.total(), 7U);
}

TEST_F(LimiterStats, BelongToOneLimiter) {
  RedisRateLimiter first = limiter();
  RedisRateLimiter second = limiter();
  EXPECT_FALSE(first.check_and_consume("user", 101));
  EXPECT_EQ(moved(second), "");
}

}  // namespace
}  // namespace tollgate
