// The tokens that a Reservation charges, adds and gives back, and the window of each.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <type_traits>
#include <vector>

#include "unit/doors/reservation_test.hpp"
#include "values/non_blocking_release.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using testing::integer;
using ::testing::Return;

TEST_F(ReservationTest, ChargesItsEstimate) {
  const Reservation reservation = reserved(30);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 30);
  EXPECT_EQ(reservation.decision().remaining, 70);
}

TEST_F(ReservationTest, HoldsNothingWhenDenied) {
  expect_denied_charge(30, 80);
  Reservation reservation = limiter().reserve("user", 30);
  EXPECT_FALSE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 0);
  EXPECT_EQ(reservation.decision().remaining, 20);
  reservation.cancel();
}

TEST_F(ReservationTest, ChargesWhatWasUsedAlthoughItWasDenied) {
  expect_denied_charge(30, 80);
  Reservation reservation = limiter().reserve("user", 30);
  expect_post(adjustment_of(25));
  reservation.settle(25);
}

TEST_F(ReservationTest, OfZeroTokensOnlyPeeks) {
  expect_peek(40);
  Reservation reservation = limiter().reserve("user", 0);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 0);
  reservation.settle(0);
}

TEST_F(ReservationTest, GivesBackWhatWasNotUsed) {
  Reservation reservation = reserved(30);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
  EXPECT_EQ(reservation.tokens(), 0);
}

TEST_F(ReservationTest, ChargesWhatWasUsedBeyondItPastTheLimit) {
  Reservation reservation = reserved(30);
  expect_post(adjustment_of(470));
  reservation.settle(500);
}

TEST_F(ReservationTest, PostsNothingWhenTheEstimateWasRight) {
  Reservation reservation = reserved(30);
  reservation.settle(30);
}

TEST_F(ReservationTest, GivesEverythingBackWhenCancelled) {
  Reservation reservation = reserved(30);
  expect_post(adjustment_of(-30));
  reservation.cancel();
  EXPECT_EQ(reservation.tokens(), 0);
}

TEST_F(ReservationTest, IsSettledOnce) {
  Reservation reservation = reserved(30);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
  reservation.settle(10);
  reservation.settle(500);
  reservation.cancel();
}

TEST_F(ReservationTest, IsCancelledOnce) {
  Reservation reservation = reserved(30);
  expect_post(adjustment_of(-30));
  reservation.cancel();
  reservation.settle(10);
  reservation.cancel();
}

TEST_F(ReservationTest, StaysChargedWithoutIoWhenDestroyed) { static_cast<void>(reserved(30)); }

TEST_F(ReservationTest, OutlivesItsLimiter) {
  auto limiter = std::make_unique<RedisRateLimiter>(client_, config());
  expect_charge(30, 0);
  Reservation reservation = limiter->reserve("user", 30);
  limiter.reset();
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

TEST_F(ReservationTest, IsSettledInTheWindowThatWasChargedAlsoWhenThatHasEnded) {
  Reservation reservation = reserved(30);
  clock_->advance(61s);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

TEST_F(ReservationTest, ChargesItsExcessToTheCurrentWindow) {
  Reservation reservation = reserved(30);
  clock_->advance(61s);
  expect_post("[EVALSHA adjust \"p:user:29453761\" 20 60]");
  reservation.settle(50);
}

TEST_F(ReservationTest, GivesBackToItsOwnWindowAloneAndMakesNoCounterThere) {
  Reservation reservation = reserved(30);
  clock_->advance(61s);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

TEST_F(ReservationTest, IsSettledInItsWindowWhenTheClockJumpsBack) {
  clock_->advance(5s);
  Reservation reservation = reserved(30);
  clock_->set(testing::ManualClock::kStart - 10s);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

/// A client whose destructor notes whether its last owner forbade I/O.
class EndingClient final : public RedisClient {
 public:
  explicit EndingClient(std::vector<bool>& ends) : ends_(ends) {}
  ~EndingClient() override { ends_.push_back(detail::NonBlockingRelease::active()); }
  BatchResult execute(const CommandBatch& /*batch*/, Deadline /*deadline*/,
                      const std::shared_ptr<ReplyHandler>& /*late*/) override {
    return testing::replies({testing::integer(30), testing::integer(1)});
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    handler->handle(*this, batch, testing::replies({testing::integer(1)}));
  }

 private:
  std::vector<bool>& ends_;
};

TEST_F(ReservationTest, DoesNoIoAsTheLastOwnerOfTheClient) {
  std::vector<bool> ends;
  const auto last_owner = [&] {
    RedisRateLimiter limiter{std::make_shared<EndingClient>(ends), config()};
    return limiter.reserve("user", 30);
  };
  { const Reservation dropped = last_owner(); }
  last_owner().settle(10);
  last_owner().cancel();
  Reservation assigned = last_owner();
  assigned = last_owner();
  EXPECT_THAT(ends, ::testing::ElementsAre(true, true, true, true));
  { const RedisRateLimiter limiter{std::make_shared<EndingClient>(ends), config()}; }
  EXPECT_FALSE(ends.back());  // a limiter's own end may wait
}

TEST_F(ReservationTest, IsTrueWhenItWasAllowed) {
  expect_charge(30, 0);
  RedisRateLimiter limiter = this->limiter();
  EXPECT_TRUE(limiter.reserve("user", 30));
  EXPECT_FALSE(limiter.reserve("user", 101));
}

TEST_F(ReservationTest, MovesWithItsTokens) {
  static_assert(std::is_nothrow_move_constructible_v<Reservation>);
  static_assert(!std::is_copy_constructible_v<Reservation>);
  Reservation first = reserved(30);
  Reservation second = std::move(first);
  EXPECT_EQ(second.tokens(), 30);
  first.settle(10);  // NOLINT(bugprone-use-after-move): documented to have no effect
  first.cancel();
  EXPECT_THROW(static_cast<void>(first.add(1)), std::logic_error);
  EXPECT_THROW(static_cast<void>(first.token()), std::logic_error);
  expect_post(adjustment_of(-20));
  second.settle(10);
}

TEST_F(ReservationTest, IsReplacedWithoutIo) {
  Reservation kept = reserved(30);
  expect_execute("[INCRBY \"p:other:29453760\" 5, EXPIRE \"p:other:29453760\" 60]", {integer(5), integer(1)});
  kept = limiter().reserve("other", 5);
  expect_post("[EVALSHA adjust \"p:other:29453760\" -5 60]");
  kept.cancel();
}

TEST_F(ReservationTest, GrowsWhileAnAnswerStreams) {
  Reservation reservation = reserved(30);
  expect_charge(20, 30);
  EXPECT_TRUE(reservation.add(20));
  EXPECT_EQ(reservation.tokens(), 50);
  expect_post(adjustment_of(-10));
  reservation.settle(40);
}

TEST_F(ReservationTest, ThatGrowsByNothingInALaterMinuteStillGivesBackToItsOwn) {
  Reservation reservation = reserved(30);
  clock_->advance(60s);
  expect_execute("[GET \"p:user:29453761\"]", {testing::nil()});
  EXPECT_TRUE(reservation.add(0));
  EXPECT_EQ(reservation.tokens(), 30);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

TEST_F(ReservationTest, KeepsItsTokensWhenTheBudgetIsSpent) {
  Reservation reservation = reserved(30);
  expect_denied_charge(20, 90);
  EXPECT_FALSE(reservation.add(20));
  EXPECT_EQ(reservation.tokens(), 30);
  EXPECT_TRUE(reservation.allowed());
}

TEST_F(ReservationTest, KeepsItsTokensWhenRedisGivesNoReply) {
  Reservation reservation = reserved(30);
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kTimeout)));
  EXPECT_THROW(static_cast<void>(reservation.add(20)), TimeoutError);
  EXPECT_EQ(reservation.tokens(), 30);
}

class ReservationOverTwoMinutes : public ReservationTest {
 protected:
  /// 30 tokens in the first minute and 20 in the second.
  [[nodiscard]] Reservation grown() {
    Reservation reservation = reserved(30);
    clock_->advance(60s);
    expect_execute("[INCRBY \"p:user:29453761\" 20, EXPIRE \"p:user:29453761\" 60]", {integer(20), integer(1)});
    EXPECT_TRUE(reservation.add(20));
    EXPECT_EQ(reservation.tokens(), 50);
    return reservation;
  }
};

TEST_F(ReservationOverTwoMinutes, GivesBackToTheLastOne) {
  Reservation reservation = grown();
  expect_post("[EVALSHA adjust \"p:user:29453761\" -10 60]");
  reservation.settle(40);
}

TEST_F(ReservationOverTwoMinutes, LeavesTheFirstOneCharged) {
  Reservation reservation = grown();
  expect_post("[EVALSHA adjust \"p:user:29453761\" -20 60]");
  reservation.settle(10);
}

TEST_F(ReservationOverTwoMinutes, ChargesTheExcessToTheLastOne) {
  Reservation reservation = grown();
  expect_post("[EVALSHA adjust \"p:user:29453761\" 30 60]");
  reservation.settle(80);
}

}  // namespace
}  // namespace tollgate
