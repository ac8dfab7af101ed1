#include "tollgate/redis_rate_limiter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "unit/doors/limiter_test.hpp"
#include "unit/values/error_text.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::_;
using testing::bulk;
using ::testing::DoAll;
using testing::error;
using ::testing::HasSubstr;
using ::testing::InSequence;
using testing::integer;
using testing::ManualClock;
using testing::nil;
using ::testing::Optional;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;
using ::testing::Throw;

class RedisRateLimiterTest : public LimiterTest {
 protected:
  /// The client answers the next execute() with `answer`.
  void expect_failure(BatchResult answer) { EXPECT_CALL(*client_, execute).WillOnce(Return(std::move(answer))); }
};

using LimiterDecides = RedisRateLimiterTest;
using LimiterArguments = RedisRateLimiterTest;
using LimiterUnderFailure = RedisRateLimiterTest;
using LimiterRemembers = RedisRateLimiterTest;
using AtomicLimiter = RedisRateLimiterTest;
class LateCharges : public RedisRateLimiterTest {
 protected:
  /// One charge whose reply does not come; what its caller leaves behind is kept.
  void expect_charge_that_is_lost(Errc code) {
    EXPECT_CALL(*client_, execute)
        .WillOnce(DoAll(SaveArg<0>(&batch_), SaveArg<2>(&late_), Return(testing::failure(code, true))));
  }

  CommandBatch batch_;
  std::shared_ptr<ReplyHandler> late_;
};

TEST_F(LimiterDecides, AdmitsInOneRoundTripOfIncrByAndExpire) {
  expect_charge(10, 90);
  const Decision decision = limiter().consume("user", 10);
  EXPECT_TRUE(decision.allowed);
  EXPECT_TRUE(decision);
  EXPECT_EQ(decision.remaining, 0);
  EXPECT_EQ(decision.source, Source::kRedis);
  EXPECT_EQ(decision.reset_after, 60'000ms);
}

TEST_F(LimiterDecides, ChargesOneTokenUnlessToldOtherwise) {
  expect_charge(1, 0);
  EXPECT_TRUE(limiter().check_and_consume("user"));
}

TEST_F(LimiterDecides, PostsTheUndoOfADenialAndDoesNotWaitForIt) {
  const InSequence in_sequence;
  expect_charge(10, 91);
  std::shared_ptr<ReplyHandler> handler;
  EXPECT_CALL(*client_, post(Is(undo_of(10)), _)).WillOnce(SaveArg<1>(&handler));
  RedisRateLimiter limiter = this->limiter();
  const Decision decision = limiter.consume("user", 10);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.remaining, 9);
  EXPECT_EQ(decision.retry_after, 60'000ms);
  ASSERT_NE(handler, nullptr);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(LimiterDecides, DeniesTheImpossibleWithoutTouchingTheClient) {
  const Decision decision = limiter().consume("user", 101);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.limit, 100);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  EXPECT_EQ(decision.remaining, std::nullopt);
  EXPECT_EQ(decision.source, Source::kLocal);
  EXPECT_FALSE(decision.failure);
  EXPECT_FALSE(limiter(atomic()).check_and_consume("user", kMaxTokens));
}

TEST_F(LimiterDecides, OnlyLooksWhenNoTokensAreAskedFor) {
  for (const RateLimitConfig& config : {this->config(), atomic()}) {
    RedisRateLimiter limiter = this->limiter(config);
    expect_look(100);
    EXPECT_TRUE(limiter.check_and_consume("user", 0));
    expect_look(101);
    EXPECT_FALSE(limiter.check_and_consume("user", 0));
    expect_look(40);
    EXPECT_EQ(limiter.peek("user").remaining, 60);
  }
}

TEST_F(LimiterDecides, TellsWhatRemainsFromTheCounterAlone) {
  RedisRateLimiter limiter = this->limiter();
  expect_execute(look(), {nil()});
  EXPECT_EQ(limiter.get_remaining("user"), 100);
  expect_look(40);
  EXPECT_EQ(limiter.get_remaining("user"), 60);
  expect_look(150);
  EXPECT_EQ(limiter.get_remaining("user"), 0);
}

TEST_F(LimiterDecides, ChargesEachMinuteToItsOwnCounter) {
  RedisRateLimiter limiter = this->limiter();
  clock_->advance(59'999ms);
  expect_charge(10, 0);
  EXPECT_EQ(limiter.consume("user", 10).reset_after, 1ms);
  clock_->advance(1ms);
  expect_execute("[INCRBY \"p:user:29453761\" 10, EXPIRE \"p:user:29453761\" 60]", {integer(10), integer(1)});
  EXPECT_EQ(limiter.consume("user", 10).reset_after, 60'000ms);
}

TEST_F(LimiterDecides, RecordsPastTheLimit) {
  expect_execute(adjustment_of(500, 60), {integer(550)});
  limiter().record("user", 500);
}

TEST_F(LimiterDecides, SendsNothingToRecordNothing) { EXPECT_NO_THROW(limiter().record("user", 0)); }

TEST_F(LimiterDecides, PingsAndSaysWhyRedisIsNotReady) {
  RedisRateLimiter limiter = this->limiter();
  expect_execute("[PING]", {testing::status("PONG")});
  EXPECT_NO_THROW(limiter.ping());
  expect_execute("[PING]", {error("LOADING Redis is loading the dataset in memory")});
  EXPECT_THROW(limiter.ping(), ServerError);
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kTimeout))).RetiresOnSaturation();
  EXPECT_THROW(limiter.ping(), TimeoutError);
}

TEST_F(LimiterDecides, DrainsItsClient) {
  RedisRateLimiter limiter = this->limiter();
  const auto deadline = std::chrono::steady_clock::time_point{5h};
  EXPECT_CALL(*client_, drain(deadline)).WillOnce(Return(true)).WillOnce(Return(false));
  EXPECT_TRUE(limiter.drain(deadline));
  EXPECT_FALSE(limiter.drain(deadline));
}

TEST_F(LimiterDecides, HandsTheDeadlineOfACallToTheClient) {
  const auto deadline = std::chrono::steady_clock::time_point{5h};
  EXPECT_CALL(*client_, execute(_, Optional(deadline), _)).WillRepeatedly([](const auto& batch, auto, const auto&) {
    return testing::answer_with_counters_at(1, batch);
  });
  RedisRateLimiter limiter = this->limiter();
  const CallOptions options{.deadline = deadline};
  EXPECT_TRUE(limiter.check_and_consume("user", 1, options));
  EXPECT_TRUE(limiter.try_consume("user", 1, options));
  EXPECT_EQ(limiter.get_remaining("user", options), 99);
  limiter.record("user", 1, options);
  limiter.reset("user", options);
  limiter.ping(options);
  EXPECT_TRUE(limiter.reserve("user", 1, options).allowed());
}

TEST_F(LimiterDecides, LeavesTheTimeoutToTheClientWithoutADeadline) {
  EXPECT_CALL(*client_, execute(_, RedisClient::Deadline{}, _)).WillOnce(Return(replies({integer(1), integer(1)})));
  EXPECT_TRUE(limiter().check_and_consume("user"));
}

constexpr const char* kUnlinkOfNearWindows =
    "[UNLINK \"p:user:29453761\", UNLINK \"p:user:29453759\", UNLINK \"p:user:29453760\"]";

TEST_F(LimiterDecides, ResetsTheNearWindowsFirstAndThenWhatAScanFinds) {
  const InSequence in_sequence;
  const Reply page = testing::array({bulk("0"), testing::array({bulk("p:user:1"), bulk("p:user:b:1")})});
  expect_execute(kUnlinkOfNearWindows, {integer(1), integer(0), integer(0)});
  expect_execute("[SCAN \"p:user:*\" 0 500]", {page});
  expect_execute("[UNLINK \"p:user:1\"]", {integer(1)});
  limiter().reset("user");
}

TEST_F(LimiterDecides, ResetsTheNearWindowsAloneWithoutAScan) {
  expect_execute(kUnlinkOfNearWindows, {integer(1), integer(0), integer(0)});
  limiter().reset_current("user");
}

TEST_F(LimiterArguments, ThatAreNullOrOutOfRangeAreRefusedAtConstruction) {
  EXPECT_EQ(rejection([] { RedisRateLimiter limiter{std::shared_ptr<RedisClient>{}}; }),
            "tollgate: client is null; it must be a RedisClient");
  RateLimitConfig config;
  config.max_tokens_per_minute = 0;
  EXPECT_THAT(rejection([&] { RedisRateLimiter limiter(client_, config); }), HasSubstr("max_tokens_per_minute is 0"));
  EXPECT_THAT(rejection([&] { RedisRateLimiter limiter("memory://", config); }),
              HasSubstr("max_tokens_per_minute is 0"));
  EXPECT_THAT(rejection([] { RedisRateLimiter limiter{"http://cache"}; }), HasSubstr("url scheme is \"http\""));
}

TEST_F(LimiterArguments, ThatAreOutOfRangeAreRefusedBeforeAnythingIsSent) {
  RedisRateLimiter limiter = this->limiter();
  const std::string too_long(513, 'u');
  using Call = std::function<void(std::string_view user_id, std::int64_t tokens, const CallOptions& options)>;
  const std::vector<Call> with_tokens{
      [&](auto user_id, auto tokens, const auto& options) {
        static_cast<void>(limiter.check_and_consume(user_id, tokens, options));
      },
      [&](auto user_id, auto tokens, const auto& options) {
        static_cast<void>(limiter.consume(user_id, tokens, options));
      },
      [&](auto user_id, auto tokens, const auto& options) {
        static_cast<void>(limiter.reserve(user_id, tokens, options));
      },
      [&](auto user_id, auto tokens, const auto& options) { limiter.record(user_id, tokens, options); }};
  const std::vector<Call> without_tokens{
      [&](auto user_id, auto, const auto& options) { static_cast<void>(limiter.peek(user_id, options)); },
      [&](auto user_id, auto, const auto& options) { limiter.get_remaining(user_id, options); },
      [&](auto user_id, auto, const auto& options) { limiter.reset(user_id, options); }};
  std::vector<Call> all = with_tokens;
  all.insert(all.end(), without_tokens.begin(), without_tokens.end());

  for (const Call& call : all) {
    EXPECT_THAT(rejection([&] { call("", 1, {}); }), HasSubstr("user_id is 0 bytes long"));
    EXPECT_THAT(rejection([&] { call(too_long, 1, {}); }), HasSubstr("user_id is 513 bytes long"));
    EXPECT_THAT(rejection([&] { call("user", 1, {.operation_id = "op-1"}); }),
                HasSubstr("operation_id is \"op-1\", but needs admission kAtomic"));
  }
  for (const Call& call : with_tokens) {
    EXPECT_THAT(rejection([&] { call("user", -1, {}); }), HasSubstr("tokens is -1; it must be 0 … 9007199254740991"));
    EXPECT_THAT(rejection([&] { call("user", kMaxTokens + 1, {}); }), HasSubstr("tokens is 9007199254740992"));
  }
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter.reserve("user", -1)); }), HasSubstr("estimated_tokens is -1"));
  RedisRateLimiter with_ids = this->limiter(atomic());
  EXPECT_THAT(rejection([&] { static_cast<void>(with_ids.consume("user", 1, {.operation_id = ""})); }),
              HasSubstr("operation_id is 0 bytes long"));
}

TEST_F(LimiterArguments, OfTryConsumeAreToldAsAFailure) {
  RedisRateLimiter limiter = this->limiter();
  static_assert(noexcept(limiter.try_consume("user", 1)));
  for (const Decision& decision : {limiter.try_consume("", 1), limiter.try_consume("user", -1),
                                   limiter.try_consume("user", 1, {.operation_id = "op-1"})}) {
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.failure, std::errc::invalid_argument);
    EXPECT_EQ(decision.source, Source::kLocal);
    EXPECT_EQ(decision.limit, 100);
    EXPECT_EQ(decision.reset_after, 60s);
  }
}

TEST_F(LimiterArguments, MayBeAnyBytes) {
  using namespace std::string_literals;
  for (const std::string& user_id : {"*"s, "a:b"s, "{x}"s, "\0"s, "\xff"s, std::string(512, 'u')}) {
    EXPECT_CALL(*client_, execute(testing::HasCommand(Operation::kIncrBy, "p:" + user_id + ":29453760"), _, _))
        .WillOnce(Return(replies({integer(1), integer(1)})));
    EXPECT_TRUE(limiter().check_and_consume(user_id));
  }
}

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

TEST_F(LimiterUnderFailure, LetsTheRequestPassUnderKAllow) {
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

TEST_F(LimiterWithLocalShare, GrantsItAndPostsTheChargeForWhenRedisIsBack) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_failure(testing::failure(Errc::kConnectFailed));
  expect_post(adjustment_of(20, 60));
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
  expect_post(adjustment_of(10, 60));
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
  expect_post(adjustment_of(24, 60));
  EXPECT_TRUE(limiter.check_and_consume("user", 24));
}

TEST_F(LimiterWithLocalShare, OnlyLooksWithNoTokens) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_failure(testing::failure(Errc::kTimeout));
  EXPECT_TRUE(limiter.peek("user").allowed);
}

TEST_F(LimiterWithLocalShare, ReservesFromItAndSettles) {
  RedisRateLimiter limiter = this->limiter(30);
  expect_failure(testing::failure(Errc::kTimeout));
  expect_post(adjustment_of(20, 60));
  Reservation reservation = limiter.reserve("user", 20);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 20);
  expect_post(adjustment_of(-15, 0));
  reservation.settle(5);
}

TEST_F(LimiterUnderFailure, TellsTryConsumeWithoutThrowingUnderEveryPolicy) {
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny}) {
    expect_failure(testing::failure(Errc::kTimeout, true));
    const Decision decision = limiter(with_policy(policy)).try_consume("user", 10);
    EXPECT_EQ(decision.allowed, policy == FailurePolicy::kAllow);
    EXPECT_EQ(decision.failure, Errc::kTimeout);
    EXPECT_EQ(decision.source, Source::kFallback);
    EXPECT_EQ(decision.reset_after, 60'000ms);
  }
}

TEST_F(LimiterUnderFailure, ThrowsWhateverThePolicyWhereNoPolicyKnowsTheAnswer) {
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

TEST_F(LimiterUnderFailure, LetsTheExceptionOfAnInjectedClientThroughExceptFromTryConsume) {
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

TEST_F(LimiterUnderFailure, TellsTryConsumeThatThereIsNoMemory) {
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

TEST_F(LimiterUnderFailure, CountsWhatWasPostedInVain) {
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

TEST_F(LimiterRemembers, ADenialByLookingFirstAndThenWhatWasLeft) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);

  expect_look(80);
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
  expect_look(80);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kRedis);
}

TEST_F(LimiterRemembers, NothingAgainstWhatStillFits) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_look(80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_charge(20, 80);
  EXPECT_TRUE(limiter.check_and_consume("user", 20));
}

TEST_F(LimiterRemembers, ToChargeAfterALookThatShowsRoom) {
  const InSequence in_sequence;
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_look(0);
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
    expect_look(140);
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
  expect_look(100);
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
  expect_look(80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_reset();
  limiter.reset("user");
  expect_charge(60, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
}

TEST_F(LimiterRemembers, NothingThatWasAskedBeforeAReset) {
  RedisRateLimiter limiter = this->limiter();
  expect_reset();
  EXPECT_CALL(*client_, execute(Is(charge_of(60)), _, _))
      .WillOnce([&](const auto&, auto, const auto&) {
        limiter.reset("user");  // by another thread, while this one waits
        return replies({integer(140), integer(1)});
      })
      .RetiresOnSaturation();
  expect_post(undo_of(60));
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

TEST_F(LimiterRemembers, NothingOfAFailedLook) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(60, 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  for (int i = 0; i < 2; ++i) {
    EXPECT_CALL(*client_, execute(Is(look()), _, _)).WillOnce(Return(testing::failure(Errc::kTimeout)));
    EXPECT_THROW(static_cast<void>(limiter.consume("user", 60)), TimeoutError);
  }
}

TEST_F(LimiterRemembers, NothingAcrossAClockThatJumpsBack) {
  RedisRateLimiter limiter = this->limiter();
  clock_->advance(5s);
  expect_denied_charge(60, 100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  expect_look(100);
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
  expect_look(100);
  EXPECT_FALSE(limiter.check_and_consume("user", 60));
  clock_->set(ManualClock::kStart);  // within the same minute
  clock_->advance(999ms);
  EXPECT_EQ(limiter.consume("user", 60).source, Source::kLocal);
  clock_->advance(1ms);
  expect_look(100);
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

TEST_F(AtomicLimiter, AsksRedisAboutEveryOperationWithAnIdAndRemembersNoneOfThem) {
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

TEST_F(LateCharges, ThatWereMadeAreUndoneAlsoWhenTheLimiterIsGone) {
  expect_charge_that_is_lost(Errc::kTimeout);
  EXPECT_THROW(static_cast<void>(limiter().consume("user", 10)), TimeoutError);
  ASSERT_NE(late_, nullptr);
  expect_post(undo_of(10));
  late_->handle(*client_, batch_, replies({integer(10), integer(1)}));
}

TEST_F(LateCharges, StandUnderKAllowWhichLetTheRequestPass) {
  expect_charge_that_is_lost(Errc::kTimeout);
  EXPECT_TRUE(limiter(with_policy(FailurePolicy::kAllow)).check_and_consume("user", 10));
  late_->handle(*client_, batch_, replies({integer(10), integer(1)}));
}

TEST_F(LateCharges, WhoseRepliesAreLostForGoodGetTheirExpiryAgain) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge_that_is_lost(Errc::kConnectionLost);
  EXPECT_THROW(static_cast<void>(limiter.consume("user", 10)), ConnectionError);
  expect_post("[EXPIRE \"p:user:29453760\" 60]");
  late_->handle(*client_, batch_, testing::failure(Errc::kConnectionLost, true));
}

TEST_F(LateCharges, WhoseExpiryIsLostTooGetItUntilRedisHasItOrTheClientEnds) {
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
