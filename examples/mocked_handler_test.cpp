// How to test code that holds a RedisRateLimiter: inject a MockRedisClient, and tell it to admit, deny or fail.
// There is no Redis in this test and no waiting; the limiter is the real one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tollgate/redis_rate_limiter.hpp>
#include <tollgate/testing/manual_clock.hpp>
#include <tollgate/testing/mock_redis_client.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace {

// --- the code under test ---------------------------------------------------------------------------------------------

struct Response {
  int status = 200;
  std::optional<std::int64_t> retry_after_seconds = std::nullopt;  // the header Retry-After
};

class ChatHandler {
 public:
  /// `model` answers a prompt and returns the tokens that it took.
  using Model = std::function<std::int64_t(const std::string& prompt)>;

  ChatHandler(tollgate::RedisRateLimiter& limiter, Model model) : limiter_(limiter), model_(std::move(model)) {}

  Response handle(const std::string& user_id, const std::string& prompt, std::int64_t estimated_tokens) {
    try {
      tollgate::Reservation reservation = limiter_.reserve(user_id, estimated_tokens);
      if (!reservation.allowed()) return refuse(reservation.decision());
      reservation.settle(model_(prompt));
      return {.status = 200};
    } catch (const tollgate::Error&) {
      return {.status = 503};
    }
  }

 private:
  static Response refuse(const tollgate::Decision& decision) {
    if (!decision.retry_after) return {.status = 413};  // larger than the whole budget: waiting never helps
    return {.status = 429,
            .retry_after_seconds = std::chrono::ceil<std::chrono::seconds>(*decision.retry_after).count()};
  }

  tollgate::RedisRateLimiter& limiter_;
  Model model_;
};

// --- its tests -------------------------------------------------------------------------------------------------------

using ::testing::_;
using ::testing::MockFunction;
using ::testing::NiceMock;
using ::testing::Return;
using tollgate::testing::Adjusts;
using tollgate::testing::Charges;
using tollgate::testing::ManualClock;
using tollgate::testing::MockRedisClient;

class ChatHandlerTest : public ::testing::Test {
 protected:
  std::shared_ptr<NiceMock<MockRedisClient>> redis_ = std::make_shared<NiceMock<MockRedisClient>>();
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  tollgate::RedisRateLimiter limiter_{redis_, {.max_tokens_per_minute = 10'000, .clock = clock_}};
  MockFunction<std::int64_t(const std::string&)> model_;
  ChatHandler handler_{limiter_, model_.AsStdFunction()};
};

TEST_F(ChatHandlerTest, AnswersAUserWhoHasTokensLeft) {
  tollgate::testing::admits(*redis_);
  EXPECT_CALL(model_, Call("hello")).WillOnce(Return(400));
  EXPECT_EQ(handler_.handle("user_42", "hello", 500).status, 200);
}

TEST_F(ChatHandlerTest, ChargesTheEstimateAndGivesBackWhatTheModelDidNotUse) {
  tollgate::testing::admits(*redis_);
  EXPECT_CALL(model_, Call).WillOnce(Return(400));
  EXPECT_CALL(*redis_, execute(Charges(500), _, _));
  EXPECT_CALL(*redis_, post(Adjusts(-100), _));
  EXPECT_EQ(handler_.handle("user_42", "hello", 500).status, 200);
}

TEST_F(ChatHandlerTest, ReturnsRetryAfterToADeniedUserAndDoesNotCallTheModel) {
  tollgate::testing::denies(*redis_);
  clock_->advance(std::chrono::milliseconds{15'200});  // 44.8 s are left of this minute
  EXPECT_CALL(model_, Call).Times(0);
  const Response response = handler_.handle("user_42", "hello", 500);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.retry_after_seconds, 45);
}

TEST_F(ChatHandlerTest, RefusesARequestLargerThanTheBudgetWithoutARoundTrip) {
  EXPECT_CALL(*redis_, execute).Times(0);
  EXPECT_CALL(model_, Call).Times(0);
  const Response response = handler_.handle("user_42", "a very long prompt", 10'001);
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.retry_after_seconds, std::nullopt);
}

TEST_F(ChatHandlerTest, IsUnavailableWhileRedisIsDown) {
  tollgate::testing::fails(*redis_, tollgate::Errc::kConnectFailed);
  EXPECT_CALL(model_, Call).Times(0);
  EXPECT_EQ(handler_.handle("user_42", "hello", 500).status, 503);
}

TEST_F(ChatHandlerTest, AnswersAgainOnceRedisIsBack) {
  tollgate::testing::fails(*redis_, tollgate::Errc::kTimeout);
  EXPECT_EQ(handler_.handle("user_42", "hello", 500).status, 503);
  tollgate::testing::admits(*redis_);
  EXPECT_CALL(model_, Call).WillOnce(Return(400));
  EXPECT_EQ(handler_.handle("user_42", "hello", 500).status, 200);
}

}  // namespace
