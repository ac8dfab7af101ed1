// Settlements and undos when the connection fails or the client ends: delivered, or counted.

#include <fcntl.h>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class PostedBatches : public FaultTest {};

TEST_F(PostedBatches, TheDestructorDeliversPosts) {
  {
    RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
    auto reservation = limiter.reserve("u", 100);
    gate_.delay(20ms);
    reservation.settle(40);
  }
  EXPECT_EQ(counter("u"), 40);
}

TEST_F(PostedBatches, TheDestructorWaitsForAFrozenServerNoLongerThanTheCommandTimeout) {
  auto limiter = std::make_unique<RedisRateLimiter>(connect(server_.url(), kQuick), config());
  auto reservation = std::make_unique<Reservation>(limiter->reserve("u", 100, {.deadline = Clock::now() + 5s}));
  server_.pause();
  reservation->settle(40);
  const auto start = Clock::now();
  reservation.reset();
  limiter.reset();
  EXPECT_LT(Clock::now() - start, 2s);
  server_.resume();
}

TEST_F(PostedBatches, ASettlementThatIsLostIsCounted) {
  RedisRateLimiter limiter{connect(gate_.url(), kQuick), config()};
  auto reservation = limiter.reserve("u", 100, {.deadline = Clock::now() + 5s});
  gate_.cut_after_reply_bytes(0);
  EXPECT_NO_THROW(reservation.settle(40));
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.try_consume("other", 1));
    return limiter.undelivered().batches == 1;
  }));
  EXPECT_EQ(limiter.undelivered().tokens, 60U);
}

TEST_F(PostedBatches, ASettlementDuringAnOutageIsDeliveredAfterIt) {
  const auto client = connect(gate_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  auto reservation = limiter.reserve("u", 100, {.deadline = Clock::now() + 5s});
  gate_.refuse(true);
  gate_.cut();
  ASSERT_TRUE(soon([&] { return static_cast<bool>(limiter.try_consume("other", 0).failure); }));
  reservation.settle(40);
  gate_.refuse(false);
  EXPECT_TRUE(soon([&] { return client->drain(Clock::now() + 1s); }));
  EXPECT_EQ(counter("u"), 40);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(PostedBatches, AnOperationWhoseReplyWasLostIsRepeatedWithTheFirstAnswerAndOneCharge) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), atomic_config()};
  limiter.record("warm", 1);  // the server knows both scripts
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.cut_after_reply_bytes(0);
  const CallOptions reserve{.operation_id = "reserve-1"};
  EXPECT_TRUE(
      thrown_by<ConnectionError>([&] { static_cast<void>(limiter.reserve("u", 9'000, reserve)); }).may_have_executed());
  EXPECT_EQ(counter("u"), 9'001);
  Reservation reservation = limiter.reserve("u", 9'000, reserve);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(counter("u"), 9'001);
  clock_->advance(1min);  // also in the next minute
  EXPECT_TRUE(limiter.reserve("u", 9'000, reserve).allowed());
  clock_->set(testing::ManualClock::kStart);
  EXPECT_EQ(counter("u"), 9'001);

  const CallOptions settle{.operation_id = "settle-1"};
  Reservation again = limiter.reserve("u", 9'000, reserve);
  gate_.cut_after_reply_bytes(0);
  reservation.settle(1'000, settle);
  EXPECT_TRUE(soon([&] { return gate_.cuts() == 2; }));
  EXPECT_EQ(counter("u"), 1'001);
  again.settle(1'000, settle);
  EXPECT_EQ(limiter.get_remaining("u", {.deadline = Clock::now() + 5s}), kLimit - 1'001);
}

}  // namespace
}  // namespace tollgate::tests
