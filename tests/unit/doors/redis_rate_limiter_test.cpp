// The commands and decisions of a RedisRateLimiter, and the arguments that it refuses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "unit/doors/redis_rate_limiter_test.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::_;
using testing::bulk;
using testing::error;
using ::testing::HasSubstr;
using ::testing::InSequence;
using testing::integer;
using testing::nil;
using ::testing::Optional;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;

TEST_F(LimiterDecides, AdmitsInOneRoundTripOfIncrByAndExpire) {
  expect_charge(10, 90);
  const Decision decision = limiter().consume("user", 10);
  EXPECT_TRUE(decision.allowed);
  EXPECT_TRUE(decision);
  EXPECT_EQ(decision.remaining, 0);
  EXPECT_EQ(decision.source, Source::kRedis);
  EXPECT_EQ(decision.reset_after, 60'000ms);
}

TEST_F(LimiterDecides, ChargesOneTokenByDefault) {
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

TEST_F(LimiterDecides, OnlyPeeksForZeroTokens) {
  for (const RateLimitConfig& config : {this->config(), atomic()}) {
    RedisRateLimiter limiter = this->limiter(config);
    expect_peek(100);
    EXPECT_TRUE(limiter.check_and_consume("user", 0));
    expect_peek(101);
    EXPECT_FALSE(limiter.check_and_consume("user", 0));
    expect_peek(40);
    EXPECT_EQ(limiter.peek("user").remaining, 60);
  }
}

TEST_F(LimiterDecides, ReturnsRemainingFromTheCounterAlone) {
  RedisRateLimiter limiter = this->limiter();
  expect_execute(peek(), {nil()});
  EXPECT_EQ(limiter.get_remaining("user"), 100);
  expect_peek(40);
  EXPECT_EQ(limiter.get_remaining("user"), 60);
  expect_peek(150);
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
  expect_execute(adjustment_of(500), {integer(550)});
  limiter().record("user", 500);
}

TEST_F(LimiterDecides, SendsNothingToRecordNothing) { EXPECT_NO_THROW(limiter().record("user", 0)); }

TEST_F(LimiterDecides, PingsAndThrowsWhyRedisIsNotReady) {
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

TEST_F(LimiterDecides, PassesTheDeadlineOfACallToTheClient) {
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
                HasSubstr("operation_id is set, but needs admission kAtomic"));
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

TEST_F(LimiterArguments, OfTryConsumeAreReturnedAsAFailure) {
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

}  // namespace
}  // namespace tollgate
