#include "tollgate/testing/mock_redis_client.hpp"
#include "values/scripts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::_;
using testing::Adjusts;
using testing::Charges;
using ::testing::EndsWith;
using ::testing::Gt;
using testing::HasCommand;
using testing::ManualClock;
using testing::MockRedisClient;
using ::testing::NiceMock;
using ::testing::Not;
using ::testing::PrintToString;
using ::testing::Return;
using ::testing::Values;

class MockedLimiter : public ::testing::TestWithParam<Admission> {
 protected:
  std::shared_ptr<NiceMock<MockRedisClient>> client_ = std::make_shared<NiceMock<MockRedisClient>>();
  RedisRateLimiter limiter_{client_, {.max_tokens_per_minute = 100, .admission = GetParam(), .deny_memory = 0ms}};
};

INSTANTIATE_TEST_SUITE_P(With, MockedLimiter, Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& admission) {
                           return std::string{admission.param == Admission::kAtomic ? "Atomic" : "Pipelined"};
                         });

TEST_P(MockedLimiter, FailsUntilItsActionsAreSet) {
  const Decision decision = limiter_.try_consume("user");
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.failure, Errc::kProtocol);
}

TEST_P(MockedLimiter, AdmitsEveryRequestWithinTheLimit) {
  admits(*client_);
  for (int i = 0; i < 3; ++i) {
    const Decision decision = limiter_.consume("user", 60);
    EXPECT_TRUE(decision.allowed);
    EXPECT_EQ(decision.remaining, 40);
    EXPECT_EQ(decision.source, Source::kRedis);
  }
  EXPECT_FALSE(limiter_.check_and_consume("user", 101));
  EXPECT_EQ(limiter_.get_remaining("user"), 100);
}

TEST_P(MockedLimiter, DeniesEveryRequestWithZeroRemaining) {
  denies(*client_);
  const Decision decision = limiter_.consume("user", 1);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.remaining, 0);
  EXPECT_TRUE(decision.retry_after.has_value());
  EXPECT_FALSE(decision.failure);
  EXPECT_FALSE(limiter_.peek("user").allowed);
  EXPECT_EQ(limiter_.get_remaining("user"), 0);
  EXPECT_FALSE(limiter_.reserve("user", 10).allowed());
}

TEST_P(MockedLimiter, ServesEveryOtherCallOfALimiterWhetherItAdmitsOrDenies) {
  for (const auto behave : {&testing::admits, &testing::denies}) {
    behave(*client_);
    EXPECT_NO_THROW(limiter_.record("user", 5));
    EXPECT_NO_THROW(limiter_.reset("user"));
    limiter_.reserve("user", 10).settle(3);
    EXPECT_EQ(limiter_.undelivered().batches, 0U);
  }
}

TEST_P(MockedLimiter, FailsWithTheGivenError) {
  fails(*client_);
  EXPECT_THROW((void)limiter_.consume("user"), ConnectionError);
  EXPECT_THROW(limiter_.reset("user"), ConnectionError);

  fails(*client_, Errc::kTimeout, true);
  try {
    (void)limiter_.consume("user");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const TimeoutError& error) {
    EXPECT_TRUE(error.may_have_executed());
  }
}

TEST_P(MockedLimiter, FailsToDeliverPosts) {
  admits(*client_);
  Reservation reservation = limiter_.reserve("user", 10);
  fails(*client_);
  reservation.settle(3);
  EXPECT_EQ(limiter_.undelivered().tokens, 7U);
}

TEST_P(MockedLimiter, SeesChargesAndAdjustmentsByTheirTokens) {
  admits(*client_);
  EXPECT_CALL(*client_, execute(Charges(10), _, _));
  EXPECT_CALL(*client_, post(Adjusts(-7), _));
  limiter_.reserve("user", 10).settle(3);
}

TEST(MockRedisClient, AnswersASingleCallByItsExpectation) {
  auto client = std::make_shared<NiceMock<MockRedisClient>>();
  RedisRateLimiter limiter{client, {.max_tokens_per_minute = 100}};
  EXPECT_CALL(*client, execute)
      .WillOnce(Return(testing::replies({testing::integer(70), testing::integer(1)})))
      .WillOnce(Return(testing::replies({testing::bulk("70")})))
      .WillOnce(Return(testing::replies({testing::nil()})))
      .WillOnce(Return(testing::replies({testing::error("OOM command not allowed"), testing::integer(0)})))
      .WillOnce(Return(testing::failure(Errc::kConnectionLost, true)));
  EXPECT_EQ(limiter.consume("user", 10).remaining, 30);
  EXPECT_EQ(limiter.get_remaining("user"), 30);
  EXPECT_EQ(limiter.get_remaining("user"), 100);
  EXPECT_EQ(limiter.try_consume("user", 10).failure, Errc::kOutOfMemory);
  EXPECT_EQ(limiter.try_consume("user", 10).failure, Errc::kConnectionLost);
}

TEST(BatchMatchers, DistinguishBatches) {
  CommandBatch batch;
  batch.incr_by("prefix:user:1", 5);
  batch.expire("prefix:user:1", 60s);
  EXPECT_THAT(batch, HasCommand(Operation::kIncrBy, "prefix:user:1"));
  EXPECT_THAT(batch, HasCommand(Operation::kExpire, EndsWith(":1")));
  EXPECT_THAT(batch, Not(HasCommand(Operation::kGet, "prefix:user:1")));
  EXPECT_THAT(batch, Not(HasCommand(Operation::kIncrBy, "prefix:user:2")));
  EXPECT_THAT(batch, Charges(Gt(4)));
  EXPECT_THAT(batch, Not(Charges(60)));
  EXPECT_THAT(batch, Not(Adjusts(5)));
}

TEST(Printing, ShowsCommandsAndRepliesAsRedisWritesThem) {
  CommandBatch batch;
  batch.incr_by("a:\xff\"", 5);
  batch.run(kAdjustScript, std::vector<std::string_view>{"key", "record"}, std::vector<std::int64_t>{-5, 0});
  EXPECT_EQ(PrintToString(batch), R"([INCRBY "a:\xff\x22" 5, EVALSHA adjust "key" "record" -5 0])");
  EXPECT_EQ(PrintToString(testing::replies({testing::integer(3), testing::nil(), testing::error("ERR no"),
                                            testing::array({testing::bulk("x"), testing::status("OK")})})),
            R"([3, nil, -ERR no, ["x", +OK]])");
  EXPECT_EQ(PrintToString(testing::failure(Errc::kTimeout, true)),
            "failure: the deadline passed (may have been executed)");
}

TEST(ManualClock, AdvancesOnlyWhenItIsMoved) {
  const ManualClock clock;
  EXPECT_EQ(clock.now(), ManualClock::kStart);
  EXPECT_EQ(clock.now(), ManualClock::kStart);
  EXPECT_EQ(std::chrono::floor<std::chrono::minutes>(ManualClock::kStart), ManualClock::kStart);
}

TEST(ManualClock, AdvancesBothTimesAndSetsTheSystemsAlone) {
  ManualClock clock;
  const auto steady = clock.steady_now();
  clock.advance(1500ms);
  EXPECT_EQ(clock.now(), ManualClock::kStart + 1500ms);
  EXPECT_EQ(clock.steady_now(), steady + 1500ms);
  clock.set(ManualClock::kStart - 1h);
  EXPECT_EQ(clock.now(), ManualClock::kStart - 1h);
  EXPECT_EQ(clock.steady_now(), steady + 1500ms);
}

}  // namespace
}  // namespace tollgate
