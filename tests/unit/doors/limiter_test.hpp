/// The fixture of the limiters' tests: a strict mock as the client, a manual clock, and batches as text.
/// Thread safety: one thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/mock_redis_client.hpp"

namespace tollgate {

/// A batch that prints as `text`.
MATCHER_P(Is, text, "") { return ::testing::PrintToString(arg) == text; }

/// A limiter of 100 tokens over a client of which every call must be expected.
class LimiterTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kMinute = 29'453'760;  // ManualClock::kStart's

  [[nodiscard]] RateLimitConfig config() const {
    RateLimitConfig made;
    made.max_tokens_per_minute = 100;
    made.key_prefix = "p";
    made.clock = clock_;
    return made;
  }
  [[nodiscard]] RateLimitConfig atomic() const {
    RateLimitConfig made = config();
    made.admission = Admission::kAtomic;
    return made;
  }
  [[nodiscard]] RateLimitConfig with_policy(FailurePolicy policy) const {
    RateLimitConfig made = config();
    made.on_failure = policy;
    return made;
  }
  [[nodiscard]] RedisRateLimiter limiter() const { return limiter(config()); }
  [[nodiscard]] RedisRateLimiter limiter(RateLimitConfig with) const {
    return RedisRateLimiter{client_, std::move(with)};
  }

  /// One call of execute() with this batch, answered with these replies.
  void expect_execute(const std::string& batch, std::vector<Reply> answers) {
    EXPECT_CALL(*client_, execute(Is(batch), ::testing::_, ::testing::_))
        .WillOnce(::testing::Return(testing::replies(std::move(answers))))
        .RetiresOnSaturation();
  }
  /// Makes every post succeed; by default, none does.
  void deliver_posts() {
    ON_CALL(*client_, post)
        .WillByDefault([this](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
          handler->handle(*client_, batch, testing::replies({testing::integer(1)}));
        });
  }
  void expect_post(const std::string& batch) {
    EXPECT_CALL(*client_, post(Is(batch), ::testing::_)).RetiresOnSaturation();
  }

  // Most tests use the same user in the same minute.
  static std::string charge_of(std::int64_t tokens) {
    return "[INCRBY \"p:user:29453760\" " + std::to_string(tokens) + ", EXPIRE \"p:user:29453760\" 60]";
  }
  static std::string atomic_charge_of(std::int64_t tokens) {
    return "[EVALSHA admit \"p:user:29453760\" " + std::to_string(tokens) + " 100 60]";
  }
  static std::string adjustment_of(std::int64_t tokens) {
    return "[EVALSHA adjust \"p:user:29453760\" " + std::to_string(tokens) + " 60]";
  }
  static std::string undo_of(std::int64_t tokens) { return adjustment_of(-tokens); }
  static std::string peek() { return "[GET \"p:user:29453760\"]"; }

  /// Charges that find the counter at `before`.
  void expect_charge(std::int64_t tokens, std::int64_t before) {
    expect_execute(charge_of(tokens), {testing::integer(before + tokens), testing::integer(1)});
  }
  void expect_denied_charge(std::int64_t tokens, std::int64_t before) {
    expect_charge(tokens, before);
    expect_post(undo_of(tokens));
  }
  /// A reset that finds nothing.
  void expect_reset() {
    for (const Operation operation : {Operation::kScan, Operation::kUnlink}) {
      EXPECT_CALL(*client_,
                  execute(testing::HasCommand(operation, ::testing::StartsWith("p:user:")), ::testing::_, ::testing::_))
          .WillOnce([](const auto& batch, auto, const auto&) { return testing::answer_with_counters_at(0, batch); })
          .RetiresOnSaturation();
    }
  }
  void expect_peek(std::int64_t counter) { expect_execute(peek(), {testing::bulk(std::to_string(counter))}); }

  std::shared_ptr<::testing::StrictMock<testing::MockRedisClient>> client_ =
      std::make_shared<::testing::StrictMock<testing::MockRedisClient>>();
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
};

}  // namespace tollgate
