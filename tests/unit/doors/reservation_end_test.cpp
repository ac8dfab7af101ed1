// Reservations when Redis gives no reply, when several settle the same one, and when other processes adopt them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "unit/doors/reservation_test.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::integer;
using ::testing::Return;
using ::testing::Throw;

TEST_F(ReservationTest, RefusesArgumentsOutOfRangeAndStaysOpen) {
  Reservation reservation = reserved(30);
  EXPECT_THAT(rejection([&] { reservation.settle(-1); }), HasSubstr("actual_tokens is -1"));
  EXPECT_THAT(rejection([&] { reservation.settle(kMaxTokens + 1); }), HasSubstr("actual_tokens is 9007199254740992"));
  EXPECT_THAT(rejection([&] { static_cast<void>(reservation.add(-1)); }), HasSubstr("tokens is -1"));
  EXPECT_THAT(rejection([&] { static_cast<void>(reservation.add(kMaxTokens + 1)); }),
              HasSubstr("tokens is 9007199254740992"));
  EXPECT_THAT(rejection([&] { reservation.settle(10, {.operation_id = "op-1"}); }),
              HasSubstr("operation_id is set, but needs admission kAtomic"));
  EXPECT_EQ(reservation.tokens(), 30);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

TEST_F(ReservationTest, CannotGrowOrGiveATokenOnceItHasEnded) {
  Reservation reservation = reserved(30);
  reservation.settle(30);
  EXPECT_THROW(static_cast<void>(reservation.add(1)), std::logic_error);
  EXPECT_THROW(static_cast<void>(reservation.token()), std::logic_error);
}

TEST_F(ReservationTest, NeverThrowsWhereItsSettlementCannotBePosted) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(30, 0);
  Reservation reservation = limiter.reserve("user", 30);
  EXPECT_CALL(*client_, post).WillOnce(Throw(std::runtime_error{"the client's own"}));
  EXPECT_NO_THROW(reservation.settle(10));
  EXPECT_EQ(limiter.undelivered().batches, 1U);
  EXPECT_EQ(limiter.undelivered().tokens, 20U);
}

TEST_F(ReservationTest, CountsALostSettlementInTheLimiter) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(30, 0);
  Reservation reservation = limiter.reserve("user", 30);
  EXPECT_CALL(*client_, post).WillOnce([&](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
    handler->handle(*client_, batch, testing::failure(Errc::kConnectionLost, true));
  });
  reservation.settle(500);
  EXPECT_EQ(limiter.undelivered().batches, 1U);
  EXPECT_EQ(limiter.undelivered().tokens, 470U);
}

TEST_F(ReservationTest, ThrowsUnderKThrowWhenRedisGivesNoReply) {
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kTimeout)));
  EXPECT_THROW(static_cast<void>(limiter().reserve("user", 30)), TimeoutError);
}

TEST_F(ReservationTest, HoldsNothingWhenKAllowAdmittedItUncounted) {
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kConnectFailed)));
  Reservation reservation = limiter(with_policy(FailurePolicy::kAllow)).reserve("user", 30);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 0);
  expect_post(adjustment_of(40));
  reservation.settle(40);
}

TEST_F(ReservationTest, HoldsItsTokensWhenKAllowAdmittedItInDoubt) {
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kTimeout, true)));
  Reservation reservation = limiter(with_policy(FailurePolicy::kAllow)).reserve("user", 30);
  EXPECT_EQ(reservation.tokens(), 30);
  expect_post(adjustment_of(-20));
  reservation.settle(10);
}

TEST_F(ReservationTest, HoldsNothingUnderKDenyWhenRedisGivesNoReply) {
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kTimeout, true)));
  Reservation reservation = limiter(with_policy(FailurePolicy::kDeny)).reserve("user", 30);
  EXPECT_FALSE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 0);
  reservation.cancel();
}

TEST_F(ReservationTest, ForgetsWhatWasLeftWhenItGivesBack) {
  RedisRateLimiter limiter = this->limiter();
  expect_charge(30, 0);
  Reservation reservation = limiter.reserve("user", 30);
  expect_denied_charge(80, 30);
  EXPECT_FALSE(limiter.check_and_consume("user", 80));
  expect_peek(30);
  EXPECT_FALSE(limiter.check_and_consume("user", 80));
  EXPECT_EQ(limiter.consume("user", 80).source, Source::kLocal);
  expect_post(adjustment_of(-30));
  reservation.cancel();
  expect_peek(0);  // a charge as large as one that was denied
  expect_charge(80, 0);
  EXPECT_TRUE(limiter.check_and_consume("user", 80));
}

TEST_F(ReservationTest, IsChargedAndSettledOncePerOperationId) {
  expect_execute("[EVALSHA admit \"p:user:29453760\" \"p:user:charge:op-1:4:\" 30 100 60 29453760 120]",
                 {testing::array({integer(30), integer(kMinute)})});
  Reservation reservation = limiter(atomic()).reserve("user", 30, {.operation_id = "op-1"});
  expect_post("[EVALSHA adjust \"p:user:29453760\" \"p:user:adjust:op-1:4:\" -20 60 3720]");
  reservation.settle(10, {.operation_id = "op-1"});
}

TEST_F(ReservationTest, ThatRepeatsAnOperationIsSettledInTheWindowOfTheFirst) {
  clock_->advance(60s);
  expect_execute("[EVALSHA admit \"p:user:29453761\" \"p:user:charge:op-1:4:\" 30 100 60 29453761 120]",
                 {testing::array({integer(30), integer(kMinute)})});
  Reservation reservation = limiter(atomic()).reserve("user", 30, {.operation_id = "op-1"});
  EXPECT_EQ(reservation.tokens(), 30);
  expect_post("[EVALSHA adjust \"p:user:29453760\" \"p:user:adjust:op-1:4:\" -20 60 3720]");
  reservation.settle(10);
}

class AdoptedReservationTest : public ReservationTest {
 protected:
  /// What `action` posts, as text.
  template <class Action>
  std::string posted_by(Action action) {
    std::string text;
    EXPECT_CALL(*client_, post).WillOnce([&](const CommandBatch& batch, const auto&) {
      text = ::testing::PrintToString(batch);
    });
    action();
    return text;
  }
};

TEST_F(AdoptedReservationTest, HoldsWhatTheTokenDescribes) {
  Reservation reservation = reserved(30);
  const Reservation adopted = limiter().adopt(reservation.token());
  EXPECT_TRUE(adopted.allowed());
  EXPECT_EQ(adopted.tokens(), 30);
  EXPECT_EQ(adopted.decision().source, Source::kLocal);
  EXPECT_EQ(adopted.decision().limit, 100);
}

TEST_F(AdoptedReservationTest, IsSettledUnderTheSameIdInEveryProcess) {
  Reservation reservation = reserved(30);
  const std::string token = reservation.token();
  EXPECT_EQ(reservation.token(), token);
  Reservation first = limiter().adopt(token);
  Reservation second = limiter().adopt(token);
  const std::string settlement = posted_by([&] { first.settle(10); });
  EXPECT_THAT(settlement, ::testing::MatchesRegex("\\[EVALSHA adjust \"p:user:29453760\" "
                                                  "\"p:user:adjust:[0-9a-f]+:32:\" -20 60 3720\\]"));
  EXPECT_EQ(posted_by([&] { second.settle(10); }), settlement);
  EXPECT_EQ(posted_by([&] { reservation.settle(10); }), settlement);
}

TEST_F(AdoptedReservationTest, PostsItsSettlementEvenWithoutADifference) {
  Reservation reservation = reserved(30);
  Reservation adopted = limiter().adopt(reservation.token());
  EXPECT_THAT(posted_by([&] { adopted.settle(30); }), HasSubstr(" 0 60 3720]"));
}

TEST_F(AdoptedReservationTest, RemembersTheWindowsThatWereCharged) {
  Reservation reservation = reserved(30);
  clock_->advance(60s);
  expect_execute("[INCRBY \"p:user:29453761\" 20, EXPIRE \"p:user:29453761\" 60]", {integer(20), integer(1)});
  EXPECT_TRUE(reservation.add(20));
  Reservation adopted = limiter().adopt(reservation.token());
  EXPECT_EQ(adopted.tokens(), 50);
  EXPECT_THAT(posted_by([&] { adopted.cancel(); }),
              ::testing::AllOf(HasSubstr("\"p:user:29453761\""), HasSubstr(" -20 60 3720]")));
}

TEST_F(AdoptedReservationTest, GrowsInItsNewProcess) {
  Reservation reservation = reserved(30);
  Reservation adopted = limiter().adopt(reservation.token());
  expect_charge(20, 30);
  EXPECT_TRUE(adopted.add(20));
  EXPECT_EQ(adopted.tokens(), 50);
}

TEST_F(AdoptedReservationTest, IsRefusedUnderAnotherPrefixOrSecretOrWhenDamaged) {
  Reservation reservation = reserved(30);
  const std::string token = reservation.token();
  RateLimitConfig other_prefix = config();
  other_prefix.key_prefix = "q";
  RateLimitConfig other_secret = config();
  other_secret.token_secret = "sixteen bytes...";
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter(other_prefix).adopt(token)); }),
              HasSubstr("belongs to another key_prefix"));
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter(other_secret).adopt(token)); }),
              HasSubstr("another token_secret"));
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter().adopt(token + "00")); }), HasSubstr("tollgate: token is "));
}

}  // namespace
}  // namespace tollgate
