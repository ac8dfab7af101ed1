// What a limiter tells its observer: each change once, in order, and never from within its client.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/doors/limiter_test.hpp"

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

struct Recorder final : Observer {
  void on_event(const Event& event) noexcept override {
    std::string line = to_string(event.kind);
    if (event.tokens != 0) line.append(" ").append(std::to_string(event.tokens));
    if (event.failure.code) line.append(": ").append(event.failure.code.message());
    lines.push_back(line);
    subjects.push_back(event.subject);
    failures.push_back(event.failure);
    if (then) std::exchange(then, {})();
  }
  std::vector<std::string> lines;
  std::vector<std::string> subjects;
  std::vector<Failure> failures;
  std::function<void()> then;  // once
};

class LimiterEventsTest : public LimiterTest {
 protected:
  LimiterEventsTest() { deliver_posts(); }

  [[nodiscard]] RateLimitConfig observed(FailurePolicy policy = FailurePolicy::kDeny) const {
    RateLimitConfig made = with_policy(policy);
    made.observer = observer_;
    made.deny_memory = 0ms;
    return made;
  }

  /// What was told since the last call.
  std::vector<std::string> told() { return std::exchange(observer_->lines, {}); }

  void expect_failure(BatchResult failure) {
    EXPECT_CALL(*client_, execute).WillOnce(Return(std::move(failure))).RetiresOnSaturation();
  }
  void expect_post_that_ends_in(const BatchResult& result) {
    EXPECT_CALL(*client_, post)
        .WillOnce([this, result](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
          const std::size_t before = observer_->lines.size();
          handler->handle(*client_, batch, result);
          EXPECT_EQ(observer_->lines.size(), before) << "told from within the client";
        })
        .RetiresOnSaturation();
  }
  /// A settlement of -10 that ends so.
  void settle(RedisRateLimiter& limiter, const BatchResult& end) {
    expect_charge(30, 0);
    Reservation reservation = limiter.reserve("user", 30);
    expect_post_that_ends_in(end);
    reservation.settle(20);
  }
  /// A charge that is denied, and whose undo of 60 ends so.
  void undo(RedisRateLimiter& limiter, const BatchResult& end) {
    expect_charge(60, 60);
    expect_post_that_ends_in(end);
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
  }
  /// A charge of 10 that is lost for good, and whose repair ends so.
  void lose_and_repair(RedisRateLimiter& limiter, const BatchResult& end) {
    EXPECT_CALL(*client_, execute)
        .WillOnce([this](const CommandBatch& batch, auto, const std::shared_ptr<ReplyHandler>& late) {
          late->handle(*client_, batch, kLost);
          return kLost;
        });
    expect_post_that_ends_in(end);
    EXPECT_FALSE(limiter.check_and_consume("user", 10));
  }

  static inline const BatchResult kNotSent = testing::failure(Errc::kConnectFailed);
  static inline const BatchResult kLost = testing::failure(Errc::kConnectionLost, true);
  static inline const BatchResult kAdjusted = replies({integer(1)});
  static inline const std::string kGone = ": " + make_error_code(Errc::kConnectFailed).message();
  static inline const std::string kCut = ": " + make_error_code(Errc::kConnectionLost).message();
  static inline const std::string kFull = ": " + make_error_code(Errc::kOutOfMemory).message();

  std::shared_ptr<Recorder> observer_ = std::make_shared<Recorder>();
};

// ---- fallback -----------------------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, TellTheFirstDecisionThatRedisDidNotMakeAndTheFirstThatItMadeAgain) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(10, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), IsEmpty());
  for (int outage = 0; outage < 2; ++outage) {
    for (int i = 0; i < 3; ++i) {
      expect_failure(kNotSent);
      EXPECT_FALSE(limiter.check_and_consume("user", 10));
    }
    EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone));
    clock_->advance(1s);
    for (int i = 0; i < 3; ++i) {
      expect_charge(10, 0);
      EXPECT_TRUE(limiter.check_and_consume("user", 10));
    }
    EXPECT_THAT(told(), ElementsAre("fallback left"));
  }
  EXPECT_THAT(observer_->subjects, ::testing::Each("p"));
}

TEST_F(LimiterEventsTest, TellOfTheFallbackUnderEveryPolicyAndFromEveryDoor) {
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
      EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone));
      clock_->advance(1s);
      expect_charge(10, 0);
      EXPECT_TRUE(limiter.check_and_consume("user", 10));
      EXPECT_THAT(told(), ElementsAre("fallback left"));
    }
  }
}

TEST_F(LimiterEventsTest, TellWhyRedisCouldNotBeAsked) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_failure(replies({error("OOM command not allowed"), integer(0)}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kFull));
  EXPECT_EQ(observer_->failures.at(0).server_text, "OOM command not allowed");

  RedisRateLimiter other = this->limiter(observed());
  expect_failure(kLost);
  EXPECT_FALSE(other.check_and_consume("user", 10));
  EXPECT_TRUE(observer_->failures.at(1).may_have_executed);
}

TEST_F(LimiterEventsTest, TellNothingOfWhatIsDeniedLocally) {
  RateLimitConfig config = observed();
  config.admission = Admission::kAtomic;
  config.deny_memory = 1000ms;
  RedisRateLimiter limiter = this->limiter(config);
  expect_execute(atomic_charge_of(60), {integer(-81)});
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("another", 10));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone));
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kLocal);
  EXPECT_EQ(limiter.consume("user", 101).source, Source::kLocal);
  EXPECT_FALSE(limiter.try_consume("", 1).allowed);
  EXPECT_THAT(told(), IsEmpty());
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("another", 10));
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(LimiterEventsTest, ReportNoFallbackForOneCounterThatCannotBeUsed) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (const char* const text : {"WRONGTYPE Operation against a key holding the wrong kind of value",
                                 "ERR increment or decrement would overflow"}) {
    expect_failure(replies({error(text), integer(0)}));
    EXPECT_EQ(limiter.consume("user", 10).source, Source::kFallback);
  }
  EXPECT_THAT(told(), ElementsAre("misconfigured: the key holds something that is no counter (WRONGTYPE)"));
}

TEST_F(LimiterEventsTest, TakeNoAnsweredLookForTheEndOfFailingCharges) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_failure(replies({error("OOM no"), integer(0)}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  clock_->advance(1s);
  expect_look(10);
  EXPECT_EQ(limiter.peek("user").source, Source::kRedis);
  expect_failure(replies({error("OOM no"), integer(0)}));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kFull));
  expect_charge(10, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), ElementsAre("fallback left"));

  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.peek("user").allowed);
  clock_->advance(1s);
  expect_look(10);
  EXPECT_TRUE(limiter.peek("user").allowed);
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, TellNoFlipsOfCallsThatFailAndSucceedInTurn) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (int i = 0; i < 100; ++i) {  // for 2 s
    expect_failure(kNotSent);
    EXPECT_FALSE(limiter.check_and_consume("user", 10));
    clock_->advance(20ms);
    expect_charge(10, 0);
    EXPECT_TRUE(limiter.check_and_consume("user", 10));
  }
  EXPECT_THAT(told(),
              ElementsAre("fallback entered" + kGone, "fallback left", "fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, TakeADenialForTheAnswerThatItIs) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  clock_->advance(1s);
  expect_denied_charge(60, 60);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, TakeWhatWasUnderWayBeforeAChangeForOldNews) {
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
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone));

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
  EXPECT_THAT(told(), ElementsAre("fallback left"));

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
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone, "fallback left"));
}

TEST_F(LimiterEventsTest, TellAChangeOnceThatSeveralCallsFindAtTheSameTime) {
  RedisRateLimiter limiter = this->limiter(observed());
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_failure(kNotSent);
        EXPECT_FALSE(limiter.check_and_consume("other", 10));
        return kLost;
      })
      .RetiresOnSaturation();
  EXPECT_FALSE(limiter.check_and_consume("other", 10));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone));
  clock_->advance(1s);
  EXPECT_CALL(*client_, execute)
      .WillOnce([&](const auto&, auto, const auto&) {
        expect_charge(10, 0);
        EXPECT_TRUE(limiter.check_and_consume("user", 10));
        return replies({integer(20), integer(1)});
      })
      .RetiresOnSaturation();
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), ElementsAre("fallback left"));
}

// ---- what was posted ----------------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, TellTheFirstUndoThatFailsAfterOneThatDidNot) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (int i = 0; i < 2; ++i) {
    undo(limiter, kNotSent);
    EXPECT_THAT(told(), ElementsAre("undo failed 60" + kGone));
    undo(limiter, kLost);
    undo(limiter, replies({}));
    EXPECT_THAT(told(), IsEmpty());
    undo(limiter, kAdjusted);
    EXPECT_THAT(told(), IsEmpty());
  }
}

TEST_F(LimiterEventsTest, TellTheFirstSettlementThatFailsAfterOneThatDidNot) {
  RedisRateLimiter limiter = this->limiter(observed());
  for (int i = 0; i < 2; ++i) {
    settle(limiter, replies({error("ERR no")}));
    EXPECT_THAT(told(), ElementsAre("settlement failed 10: Redis answered with an error"));
    settle(limiter, kLost);
    EXPECT_THAT(told(), IsEmpty());
    settle(limiter, kAdjusted);
    EXPECT_THAT(told(), IsEmpty());
  }
}

TEST_F(LimiterEventsTest, TellTheFirstRepairThatFailsAfterOneThatDidNot) {
  RedisRateLimiter limiter = this->limiter(observed());
  lose_and_repair(limiter, kNotSent);
  EXPECT_THAT(told(), ElementsAre("repair failed" + kGone, "fallback entered" + kCut));
  lose_and_repair(limiter, kNotSent);
  lose_and_repair(limiter, kAdjusted);
  EXPECT_THAT(told(), IsEmpty());
  lose_and_repair(limiter, kNotSent);
  EXPECT_THAT(told(), ElementsAre("repair failed" + kGone));
}

TEST_F(LimiterEventsTest, TellEachKindByItself) {
  RedisRateLimiter limiter = this->limiter(observed());
  undo(limiter, kNotSent);
  settle(limiter, kNotSent);
  undo(limiter, kNotSent);
  settle(limiter, kAdjusted);
  undo(limiter, kNotSent);
  settle(limiter, kNotSent);
  EXPECT_THAT(told(),
              ElementsAre("undo failed 60" + kGone, "settlement failed 10" + kGone, "settlement failed 10" + kGone));
}

TEST_F(LimiterEventsTest, TellOfWhatTheLocalShareGrantedAsOfASettlement) {
  RedisRateLimiter limiter = this->limiter(observed(FailurePolicy::kLocalShare));
  expect_failure(kNotSent);
  expect_post_that_ends_in(kNotSent);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), UnorderedElementsAre("fallback entered" + kGone, "settlement failed 10" + kGone));
}

TEST_F(LimiterEventsTest, TellOfALateChargeThatCannotBeUndone) {
  RedisRateLimiter limiter = this->limiter(observed());
  std::shared_ptr<ReplyHandler> late;
  CommandBatch batch;
  EXPECT_CALL(*client_, execute).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<2>(&late), Return(kLost)));
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kCut));
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::bad_alloc{}));
  late->handle(*client_, batch, replies({integer(10), integer(1)}));
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_CALL(*client_, drain).WillOnce(Return(true));
  EXPECT_TRUE(limiter.drain({}));
  EXPECT_THAT(told(), ElementsAre("undo failed 10: " + std::make_error_code(std::errc::not_enough_memory).message()));
}

TEST_F(LimiterEventsTest, AreToldAtTheEndOfWhicheverCallComesNext) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(30, 0);
  Reservation reservation = limiter.reserve("user", 30);
  const std::vector<std::function<void()>> calls{
      [&] { EXPECT_FALSE(limiter.try_consume("user", 101).allowed); },
      [&] { EXPECT_FALSE(limiter.try_consume("", 1).allowed); },
      [&] {
        expect_look(0);
        EXPECT_EQ(limiter.get_remaining("user"), 100);
      },
      [&] {
        expect_execute(adjustment_of(10, 60), {integer(10)});
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
    // Another limiter on the same client reads this one's reply: nothing of this one is told from there.
    std::shared_ptr<ReplyHandler> handler;
    CommandBatch batch;
    expect_charge(60, 60);
    EXPECT_CALL(*client_, post).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<1>(&handler))).RetiresOnSaturation();
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
    handler->handle(*client_, batch, kAdjusted);
    handler->handle(*client_, batch, kNotSent);
    EXPECT_THAT(told(), IsEmpty());
    call();
    EXPECT_THAT(told(), ElementsAre("undo failed 60" + kGone));
  }
}

TEST_F(LimiterEventsTest, AreToldByTheEndOfTheLimiterAndStillAfterIt) {
  std::shared_ptr<ReplyHandler> handler;
  CommandBatch batch;
  {
    RedisRateLimiter limiter = this->limiter(observed());
    expect_charge(60, 60);
    EXPECT_CALL(*client_, post).WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<1>(&handler)));
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
    handler->handle(*client_, batch, kNotSent);
    EXPECT_THAT(told(), IsEmpty());
  }
  EXPECT_THAT(told(), ElementsAre("undo failed 60" + kGone));
  handler->handle(*client_, batch, kAdjusted);
  handler->handle(*client_, batch, kLost);
  EXPECT_THAT(told(), ElementsAre("undo failed 60" + kCut));
}

// ---- dropped reservations -----------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, TellTheFirstDroppedReservationInEachMinute) {
  RateLimitConfig config = observed();
  config.admission = Admission::kAtomic;
  RedisRateLimiter limiter = this->limiter(config);
  const auto drop = [&](std::int64_t tokens) {
    EXPECT_CALL(*client_, execute).WillOnce(Return(replies({integer(tokens)})));
    static_cast<void>(limiter.reserve("user", tokens));
  };
  drop(10);
  EXPECT_THAT(told(), ElementsAre("reservation dropped 10"));
  drop(20);
  clock_->advance(59s);
  drop(30);
  EXPECT_THAT(told(), IsEmpty());
  clock_->advance(1s);
  drop(40);
  drop(50);
  EXPECT_THAT(told(), ElementsAre("reservation dropped 40"));
  EXPECT_CALL(*client_, stats);
  EXPECT_EQ(limiter.stats().reservations_dropped, 5U);
}

TEST_F(LimiterEventsTest, TellOfAReservationThatIsAssignedOverOrOutlivesItsLimiter) {
  auto limiter = std::make_unique<RedisRateLimiter>(client_, observed());
  expect_charge(20, 10);
  expect_charge(10, 0);
  Reservation first = limiter->reserve("user", 10);
  first = limiter->reserve("user", 20);
  EXPECT_THAT(told(), ElementsAre("reservation dropped 10"));
  clock_->advance(60s);
  limiter.reset();
  { const Reservation last = std::move(first); }
  EXPECT_THAT(told(), ElementsAre("reservation dropped 20"));
}

TEST_F(LimiterEventsTest, TellOfAllTokensOfADroppedReservationAlsoOfEarlierMinutes) {
  RateLimitConfig config = observed();
  config.admission = Admission::kAtomic;
  RedisRateLimiter limiter = this->limiter(config);
  EXPECT_CALL(*client_, execute).Times(2).WillRepeatedly(Return(replies({integer(20)})));
  {
    Reservation reservation = limiter.reserve("user", 10);
    clock_->advance(60s);
    EXPECT_TRUE(reservation.add(20).allowed);
  }
  EXPECT_THAT(told(), ElementsAre("reservation dropped 30"));
}

TEST_F(LimiterEventsTest, TellOfNoReservationThatWasSettledOrHandedOn) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(10, 0);
  limiter.reserve("user", 10).settle(10);
  expect_charge(10, 0);
  static_cast<void>(limiter.reserve("user", 10).token());
  expect_denied_charge(60, 60);
  static_cast<void>(limiter.reserve("user", 60));
  EXPECT_THAT(told(), IsEmpty());
}

// ---- the observer -------------------------------------------------------------------------------------------------

TEST_F(LimiterEventsTest, MayCallTheLimiterAndWhatThatCausesIsToldAfterIt) {
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
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone, "fallback left", "reservation dropped 20"));
}

TEST_F(LimiterEventsTest, MayCallTheLimiterWhileAReservationIsDropped) {
  RedisRateLimiter limiter = this->limiter(observed());
  expect_charge(20, 0);
  observer_->then = [&] {
    expect_charge(10, 20);
    EXPECT_TRUE(limiter.check_and_consume("user", 10));
  };
  static_cast<void>(limiter.reserve("user", 20));
  EXPECT_THAT(told(), ElementsAre("reservation dropped 20"));
}

TEST_F(LimiterEventsTest, AreToldInAForkedChildAlsoWhenItsParentWasTellingOne) {
  RedisRateLimiter limiter = this->limiter(observed());
  pid_t child = -1;
  observer_->then = [&] {
    child = ::fork();
    if (child != 0) return;
    clock_->advance(1s);
    expect_charge(10, 0);
    static_cast<void>(limiter.check_and_consume("user", 10));
    ::_exit(told().back() == "fallback left" ? 0 : 1);
  };
  expect_failure(kNotSent);
  EXPECT_FALSE(limiter.check_and_consume("user", 10));
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone));
}

TEST_F(LimiterEventsTest, AreSharedByNoTwoLimiters) {
  RedisRateLimiter first = this->limiter(observed());
  RateLimitConfig config = observed();
  config.key_prefix = "q";
  RedisRateLimiter second = this->limiter(config);
  expect_failure(kNotSent);
  expect_failure(kNotSent);
  EXPECT_FALSE(first.check_and_consume("user", 10));
  EXPECT_FALSE(second.check_and_consume("user", 10));
  EXPECT_THAT(told(), ElementsAre("fallback entered" + kGone, "fallback entered" + kGone));
  EXPECT_THAT(observer_->subjects, ElementsAre("p", "q"));
}

TEST_F(LimiterEventsTest, AreMissedByNobodyWithoutAnObserver) {
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
