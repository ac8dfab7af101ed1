// When a limiter reports that the FailurePolicy decides, and that Redis decides again: each change once, in order, and
// never from within its client.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "unit/doors/limiter_events_test.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::error;
using testing::integer;
using ::testing::IsEmpty;
using testing::replies;

// ---- fallback -----------------------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, ReportTheFirstDecisionOfThePolicyAndTheFirstOfRedisAfterIt) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(10, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), IsEmpty());
  for (int outage = 0; outage < 2; ++outage) {
    for (int i = 0; i < 3; ++i) {
      expect_failure(kNotSent);
      EXPECT_FALSE(limiter.check_and_consume("user", 10));
    }
    EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone));
    clock_->advance(1s);
    for (int i = 0; i < 3; ++i) {
      expect_charge(10, 0);
      EXPECT_TRUE(limiter.check_and_consume("user", 10));
    }
    EXPECT_THAT(reported(), ElementsAre("fallback left"));
  }
  EXPECT_THAT(observer_->subjects, ::testing::Each("p"));
}

TEST_F(LimiterEventsTest, ReportTheFallbackUnderEveryPolicyAndFromEveryFunction) {
  for (const FailurePolicy policy :
       {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny, FailurePolicy::kLocalShare}) {
    RateLimitConfig config = observed(policy);
    config.local_share = 0;
    RedisRateLimiter limiter = this->limiter(config);
    const std::vector<std::function<void()>> doors{
        [&] { static_cast<void>(limiter.check_and_consume("user", 10)); },
        [&] { static_cast<void>(limiter.try_consume("user", 10)); },
        [&] { static_cast<void>(limiter.reserve("user", 10)); },
        [&] { static_cast<void>(limiter.peek("user")); },
        [&] { limiter.get_remaining("user"); },
    };
    for (const auto& door : doors) {
      expect_failure(kNotSent);
      try {
        door();
      } catch (const ConnectionError&) {
      }
      EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone));
      clock_->advance(1s);
      expect_charge(10, 0);
      EXPECT_TRUE(limiter.check_and_consume("user", 10));
      EXPECT_THAT(reported(), ElementsAre("fallback left"));
    }
  }
}

TEST_F(LimiterEventsTest, ReportTheFailure) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_failure(replies({error("OOM command not allowed"), integer(0)}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kFull));
  EXPECT_EQ(observer_->failures.at(0).server_text, "OOM command not allowed");

  RedisRateLimiter other = this->limiter(observed());
  expect_failure(kLost);
  EXPECT_FALSE(other.check_and_consume("user", 10));
  EXPECT_TRUE(observer_->failures.at(1).may_have_executed);
}

TEST_F(LimiterEventsTest, ReportNothingForLocalDenials) {
  RateLimitConfig config = observed();
  config.admission = Admission::kAtomic;
  config.deny_memory = 1000ms;
  RedisRateLimiter limiter = this->limiter(config);
  expect_execute(atomic_charge_of(60), {integer(-81)});
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("another", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone));
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kLocal);
  EXPECT_EQ(limiter.consume("user", 101).source, Source::kLocal);
  EXPECT_FALSE(limiter.try_consume("", 1).allowed);
  EXPECT_THAT(reported(), IsEmpty());
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("another", 10));
  EXPECT_THAT(reported(), IsEmpty());
}

TEST_F(LimiterEventsTest, ReportNoFallbackForOneCounterThatCannotBeUsed) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (const char* const text : {"WRONGTYPE Operation against a key holding the wrong kind of value",
                                 "ERR increment or decrement would overflow"}) {
    expect_failure(replies({error(text), integer(0)}));
    EXPECT_EQ(limiter.consume("user", 10).source, Source::kFallback);
  }
  EXPECT_THAT(reported(), ElementsAre("misconfigured: the key does not hold a counter (WRONGTYPE)"));
}

TEST_F(LimiterEventsTest, DoNotEndAFallbackOfChargesAfterAnAnsweredPeek) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_failure(replies({error("OOM no"), integer(0)}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  clock_->advance(1s);
  expect_peek(10);
  EXPECT_EQ(limiter.peek("user").source, Source::kRedis);
  expect_failure(replies({error("OOM no"), integer(0)}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kFull));
  expect_charge(10, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback left"));

  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.peek("user").allowed);
  clock_->advance(1s);
  expect_peek(10);
  EXPECT_TRUE(limiter.peek("user").allowed);
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, ReportOneFallbackForCallsThatFailAndSucceedInTurn) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (int i = 0; i < 100; ++i) {  // for 2 s
    expect_failure(kNotSent);
    EXPECT_FALSE(limiter.check_and_consume("user", 10));
    clock_->advance(20ms);
    expect_charge(10, 0);
    EXPECT_TRUE(limiter.check_and_consume("user", 10));
  }
  EXPECT_THAT(reported(),
              ElementsAre("fallback entered" + kGone, "fallback left", "fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, EndTheFallbackAfterADenialByRedis) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  clock_->advance(1s);
  expect_denied_charge(60, 60);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, IgnoreResultsOfCallsInFlightAtAChange) {
  RedisRateLimiter limiter = this->limiter(observed());
  // Answered, and slow to return, while another call finds Redis gone.
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_failure(kNotSent);
        EXPECT_FALSE(limiter.check_and_consume("other", 10));
        return replies({integer(10), integer(1)});
      })
      .RetiresOnSaturation();
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone));

  // Lost, and slow to find out, while another call finds Redis back.
  clock_->advance(1s);
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_charge(10, 0);
        EXPECT_TRUE(limiter.check_and_consume("user", 10));
        return kNotSent;
      })
      .RetiresOnSaturation();
  EXPECT_FALSE(limiter.check_and_consume("other", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback left"));

  // Lost, and slow to find out, while another call finds Redis gone, and a third finds it back.
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_failure(kNotSent);
        EXPECT_FALSE(limiter.check_and_consume("other", 10));
        clock_->advance(1s);
        expect_charge(10, 0);
        EXPECT_TRUE(limiter.check_and_consume("user", 10));
        return kNotSent;
      })
      .RetiresOnSaturation();
  EXPECT_FALSE(limiter.check_and_consume("other", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, ReportAChangeOnceThatSeveralCallsSeeAtTheSameTime) {
  RedisRateLimiter limiter = this->limiter(observed());
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_failure(kNotSent);
        EXPECT_FALSE(limiter.check_and_consume("other", 10));
        return kLost;
      })
      .RetiresOnSaturation();
  EXPECT_FALSE(limiter.check_and_consume("other", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone));
  clock_->advance(1s);
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_charge(10, 0);
        EXPECT_TRUE(limiter.check_and_consume("user", 10));
        return replies({integer(20), integer(1)});
      })
      .RetiresOnSaturation();
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback left"));
}

}  // namespace
}  // namespace tollgate
