/// The fixture of the tests of a limiter's events: an observer that records, and calls and posts with a given outcome.
/// Thread safety: one thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "unit/doors/limiter_test.hpp"

namespace tollgate {

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
    made.deny_memory = std::chrono::milliseconds{0};
    return made;
  }

  /// What was reported since the last call.
  std::vector<std::string> reported() { return std::exchange(observer_->lines, {}); }

  void expect_failure(BatchResult failure) {
    EXPECT_CALL(*client_, execute).WillOnce(::testing::Return(std::move(failure))).RetiresOnSaturation();
  }
  void expect_post_that_ends_in(const BatchResult& result) {
    EXPECT_CALL(*client_, post)
        .WillOnce([this, result](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
          const std::size_t before = observer_->lines.size();
          handler->handle(*client_, batch, result);
          EXPECT_EQ(observer_->lines.size(), before) << "reported from within the client";
        })
        .RetiresOnSaturation();
  }
  /// Makes a settlement of -10 whose post has this result.
  void settle(RedisRateLimiter& limiter, const BatchResult& end) {
    expect_charge(30, 0);
    Reservation reservation = limiter.reserve("user", 30);
    expect_post_that_ends_in(end);
    reservation.settle(20);
  }
  /// Makes a charge that is denied, and whose undo of 60 has this result.
  void undo(RedisRateLimiter& limiter, const BatchResult& end) {
    expect_charge(60, 60);
    expect_post_that_ends_in(end);
    EXPECT_FALSE(limiter.check_and_consume("user", 60));
  }
  /// Makes a charge of 10 whose reply never comes, and whose repair fails likewise.
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
  static inline const BatchResult kAdjusted = testing::replies({testing::integer(1)});
  static inline const std::string kGone = ": " + make_error_code(Errc::kConnectFailed).message();
  static inline const std::string kCut = ": " + make_error_code(Errc::kConnectionLost).message();
  static inline const std::string kFull = ": " + make_error_code(Errc::kOutOfMemory).message();

  std::shared_ptr<Recorder> observer_ = std::make_shared<Recorder>();
};

}  // namespace tollgate
