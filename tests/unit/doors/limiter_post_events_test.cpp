// The events of a limiter's posts and reservations, and how it calls its observer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "unit/doors/limiter_events_test.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::DoAll;
using ::testing::ElementsAre;
using testing::error;
using testing::integer;
using ::testing::IsEmpty;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;
using ::testing::Throw;
using ::testing::UnorderedElementsAre;

// ---- what was posted ----------------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, ReportTheFirstFailedUndoAfterASuccess) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (int i = 0; i < 2; ++i) {
    undo(limiter, kNotSent);
    EXPECT_THAT(reported(), ElementsAre("undo failed 60" + kGone));
    undo(limiter, kLost);
    undo(limiter, replies({}));
    EXPECT_THAT(reported(), IsEmpty());
    undo(limiter, kAdjusted);
    EXPECT_THAT(reported(), IsEmpty());
  }
}

TEST_F(LimiterEventsTest, ReportTheFirstFailedSettlementAfterASuccess) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (int i = 0; i < 2; ++i) {
    settle(limiter, replies({error("ERR no")}));
    EXPECT_THAT(reported(), ElementsAre("settlement failed 10: Redis answered with an error"));
    settle(limiter, kLost);
    EXPECT_THAT(reported(), IsEmpty());
    settle(limiter, kAdjusted);
    EXPECT_THAT(reported(), IsEmpty());
  }
}

TEST_F(LimiterEventsTest, ReportTheFirstFailedRepairAfterASuccess) {
  RedisRateLimiter limiter = this->limiter(observed());
  lose_and_repair(limiter, kNotSent);
  EXPECT_THAT(reported(), ElementsAre("repair failed" + kGone, "fallback entered" + kCut));
  lose_and_repair(limiter, kNotSent);
  lose_and_repair(limiter, kAdjusted);
  EXPECT_THAT(reported(), IsEmpty());
  lose_and_repair(limiter, kNotSent);
  EXPECT_THAT(reported(), ElementsAre("repair failed" + kGone));
}

TEST_F(LimiterEventsTest, ReportEachKindSeparately) {
  RedisRateLimiter limiter = this->limiter(observed());
  undo(limiter, kNotSent);
  settle(limiter, kNotSent);
  undo(limiter, kNotSent);
  settle(limiter, kAdjusted);
  undo(limiter, kNotSent);
  settle(limiter, kNotSent);
  EXPECT_THAT(reported(),
              ElementsAre("undo failed 60" + kGone, "settlement failed 10" + kGone, "settlement failed 10" + kGone));
}

TEST_F(LimiterEventsTest, ReportALostChargeOfTheLocalShareAsASettlement) {
  RedisRateLimiter limiter = this->limiter(observed(FailurePolicy::kLocalShare));
  expect_failure(kNotSent);
  expect_post_that_ends_in(kNotSent);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), UnorderedElementsAre("fallback entered" + kGone, "settlement failed 10" + kGone));
}

TEST_F(LimiterEventsTest, ReportALateChargeThatCannotBeUndone) {
  RedisRateLimiter limiter = this->limiter(observed());
  std::shared_ptr<ReplyHandler> late;
  CommandBatch batch;
  EXPECT_CALL(*client_, execute).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<2>(&late), Return(kLost)));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kCut));
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::bad_alloc{}));
  late->handle(*client_, batch, replies({integer(10), integer(1)}));
  EXPECT_THAT(reported(), IsEmpty());
  EXPECT_CALL(*client_, drain).WillOnce(Return(true));
  EXPECT_TRUE(limiter.drain({}));
  EXPECT_THAT(reported(),
              ElementsAre("undo failed 10: " + std::make_error_code(std::errc::not_enough_memory).message()));
}

TEST_F(LimiterEventsTest, AreDeliveredAtTheEndOfTheNextCall) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(30, 0);
  Reservation reservation = limiter.reserve("user", 30);
  const std::vector<std::function<void()>> calls{
      [&] { EXPECT_FALSE(limiter.try_consume("user", 101).allowed); },
      [&] { EXPECT_FALSE(limiter.try_consume("", 1).allowed); },
      [&] {
        expect_peek(0);
        EXPECT_EQ(limiter.get_remaining("user"), 100);
      },
      [&] {
        expect_execute(adjustment_of(10), {integer(10)});
        limiter.record("user", 10);
      },
      [&] {
        expect_failure(kNotSent);
        EXPECT_THROW(limiter.reset("user"), ConnectionError);
      },
      [&] {
        expect_execute("[PING]", {testing::status("PONG")});
        limiter.ping();
      },
      [&] {
        EXPECT_CALL(*client_, drain).WillOnce(Return(true));
        EXPECT_TRUE(limiter.drain({}));
      },
      [&] {
        expect_post(undo_of(10));
        reservation.settle(20);
      },
  };
  for (const auto& call : calls) {
    // Another limiter on the same client reads this one's reply: its calls deliver no events of this limiter.
    std::shared_ptr<ReplyHandler> handler;
    CommandBatch batch;
    expect_charge(60, 60);
    EXPECT_CALL(*client_, post).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<1>(&handler))).RetiresOnSaturation();
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
    handler->handle(*client_, batch, kAdjusted);
    handler->handle(*client_, batch, kNotSent);
    EXPECT_THAT(reported(), IsEmpty());
    call();
    EXPECT_THAT(reported(), ElementsAre("undo failed 60" + kGone));
  }
}

TEST_F(LimiterEventsTest, AreDeliveredByTheLimitersDestructorAndAfterIt) {
  std::shared_ptr<ReplyHandler> handler;
  CommandBatch batch;
  {
    RedisRateLimiter limiter = this->limiter(observed());
    expect_charge(60, 60);
    EXPECT_CALL(*client_, post).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<1>(&handler)));
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
    handler->handle(*client_, batch, kNotSent);
    EXPECT_THAT(reported(), IsEmpty());
  }
  EXPECT_THAT(reported(), ElementsAre("undo failed 60" + kGone));
  handler->handle(*client_, batch, kAdjusted);
  handler->handle(*client_, batch, kLost);
  EXPECT_THAT(reported(), ElementsAre("undo failed 60" + kCut));
}

// ---- dropped reservations -----------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, ReportTheFirstDroppedReservationInEachMinute) {
  RateLimitConfig config = observed();
  config.admission = Admission::kAtomic;
  RedisRateLimiter limiter = this->limiter(config);
  const auto drop = [&](std::int64_t tokens) {
    EXPECT_CALL(*client_, execute).WillOnce(Return(replies({integer(tokens)})));
    static_cast<void>(limiter.reserve("user", tokens));
  };
  drop(10);
  EXPECT_THAT(reported(), ElementsAre("reservation dropped 10"));
  drop(20);
  clock_->advance(59s);
  drop(30);
  EXPECT_THAT(reported(), IsEmpty());
  clock_->advance(1s);
  drop(40);
  drop(50);
  EXPECT_THAT(reported(), ElementsAre("reservation dropped 40"));
  EXPECT_CALL(*client_, stats);
  EXPECT_EQ(limiter.stats().reservations_dropped, 5U);
}

TEST_F(LimiterEventsTest, ReportAReservationThatIsAssignedOverOrOutlivesItsLimiter) {
  auto limiter = std::make_unique<RedisRateLimiter>(client_, observed());
  expect_charge(20, 10);
  expect_charge(10, 0);
  Reservation first = limiter->reserve("user", 10);
  first = limiter->reserve("user", 20);
  EXPECT_THAT(reported(), ElementsAre("reservation dropped 10"));
  clock_->advance(60s);
  limiter.reset();
  { const Reservation last = std::move(first); }
  EXPECT_THAT(reported(), ElementsAre("reservation dropped 20"));
}

TEST_F(LimiterEventsTest, ReportAllTokensOfADroppedReservationAlsoOfEarlierMinutes) {
  RateLimitConfig config = observed();
  config.admission = Admission::kAtomic;
  RedisRateLimiter limiter = this->limiter(config);
  EXPECT_CALL(*client_, execute).Times(2).WillRepeatedly(Return(replies({integer(20)})));
  {
    Reservation reservation = limiter.reserve("user", 10);
    clock_->advance(60s);
    EXPECT_TRUE(reservation.add(20).allowed);
  }
  EXPECT_THAT(reported(), ElementsAre("reservation dropped 30"));
}

TEST_F(LimiterEventsTest, ReportNoReservationThatWasSettledOrGaveATokenAway) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(10, 0);
  limiter.reserve("user", 10).settle(10);
  expect_charge(10, 0);
  static_cast<void>(limiter.reserve("user", 10).token());
  expect_denied_charge(60, 60);
  static_cast<void>(limiter.reserve("user", 60));
  EXPECT_THAT(reported(), IsEmpty());
}

// ---- the observer -------------------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, MayCallTheLimiterWhoseNewEventsFollow) {
  RedisRateLimiter limiter = this->limiter(observed());
  observer_->then = [&] {
    clock_->advance(1s);
    expect_charge(10, 0);
    EXPECT_TRUE(limiter.check_and_consume("user", 10));
    expect_charge(20, 10);
    static_cast<void>(limiter.reserve("user", 20));
    EXPECT_CALL(*client_, stats);
    EXPECT_EQ(limiter.stats().denied.by_policy, 1U);
    EXPECT_EQ(observer_->lines.size(), 1U);
  };
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone, "fallback left", "reservation dropped 20"));
}

TEST_F(LimiterEventsTest, MayCallTheLimiterWhileAReservationIsDropped) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(20, 0);
  observer_->then = [&] {
    expect_charge(10, 20);
    EXPECT_TRUE(limiter.check_and_consume("user", 10));
  };
  static_cast<void>(limiter.reserve("user", 20));
  EXPECT_THAT(reported(), ElementsAre("reservation dropped 20"));
}

TEST_F(LimiterEventsTest, AreDeliveredInAForkedChildAlsoWhenTheParentWasDeliveringOne) {
  RedisRateLimiter limiter = this->limiter(observed());
  pid_t child = -1;
  observer_->then = [&] {
    child = ::fork();
    if (child != 0) return;
    clock_->advance(1s);
    expect_charge(10, 0);
    static_cast<void>(limiter.check_and_consume("user", 10));
    ::_exit(reported().back() == "fallback left" ? 0 : 1);
  };
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone));
}

TEST_F(LimiterEventsTest, AreSeparateForEachLimiter) {
  RedisRateLimiter first = this->limiter(observed());
  RateLimitConfig config = observed();
  config.key_prefix = "q";
  RedisRateLimiter second = this->limiter(config);
  expect_failure(kNotSent);
  expect_failure(kNotSent);
  EXPECT_FALSE(first.check_and_consume("user", 10));
  EXPECT_FALSE(second.check_and_consume("user", 10));
  EXPECT_THAT(reported(), ElementsAre("fallback entered" + kGone, "fallback entered" + kGone));
  EXPECT_THAT(observer_->subjects, ElementsAre("p", "q"));
}

TEST_F(LimiterEventsTest, NeedNoObserver) {
  RateLimitConfig config = observed();
  config.observer = nullptr;
  RedisRateLimiter limiter = this->limiter(config);
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  expect_charge(10, 0);
  static_cast<void>(limiter.reserve("user", 10));
}

TEST_F(LimiterEventsTest, AreTheObserversOfAUrlsClientToo) {
  const auto holders_with = [this](const char* url) {
    const RedisRateLimiter limiter{url, observed()};
    return observer_.use_count();
  };
  EXPECT_GT(holders_with("redis://127.0.0.1:1/0"), holders_with("memory://"));  // that client has no events
}

}  // namespace
}  // namespace tollgate
