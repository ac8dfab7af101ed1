// BudgetReservation over memory://: what is held, settled once, given back to the windows that were charged.

#include "tollgate/budget_reservation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/budget_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/mock_redis_client.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class EventLog final : public Observer {
 public:
  void on_event(const Event& event) noexcept override { events.push_back(event); }
  std::vector<Event> events;
};

class BudgetReservationTest : public ::testing::Test {
 protected:
  [[nodiscard]] BudgetConfig config() const {
    BudgetConfig made;
    made.limits = {{.name = "requests", .max = 10},
                   {.name = "tokens", .max = 1000, .window = Window::sliding(16min)},
                   {.name = "running", .max = 2, .window = Window::concurrent(30s)}};
    made.clock = clock_;
    made.observer = log_;
    return made;
  }

  /// What is left of a limit.
  [[nodiscard]] std::int64_t left(std::string_view limit, std::string_view subject = "user") {
    return limiter_.peek({{limit, subject, 0}}).states[0].remaining.value_or(-1);
  }
  [[nodiscard]] BudgetReservation reserve(std::int64_t tokens) {
    return limiter_.reserve({{"requests", "user"}, {"tokens", "user", tokens}});
  }

  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<EventLog> log_ = std::make_shared<EventLog>();
  std::shared_ptr<RedisClient> client_ = connect("memory://", {.clock = clock_});
  BudgetLimiter limiter_{client_, config()};
};

TEST_F(BudgetReservationTest, GivesBackWhatWasNotUsed) {
  BudgetReservation reservation = reserve(300);
  EXPECT_TRUE(reservation);
  EXPECT_EQ(reservation.cost(0), 1);
  EXPECT_EQ(reservation.cost(1), 300);
  EXPECT_EQ(left("tokens"), 700);
  reservation.settle({1, 120});
  EXPECT_EQ(left("tokens"), 880);
  EXPECT_EQ(left("requests"), 9);
  EXPECT_EQ(reservation.cost(1), 0);
}

TEST_F(BudgetReservationTest, ChargesAnExcessPastTheLimit) {
  reserve(300).settle({1, 1200});
  EXPECT_EQ(left("tokens"), 0);
  EXPECT_FALSE(limiter_.consume({{"tokens", "user", 0}}));
}

TEST_F(BudgetReservationTest, IsSettledOnce) {
  BudgetReservation reservation = reserve(300);
  reservation.settle({1, 100});
  reservation.settle({0, 0});
  reservation.cancel();
  EXPECT_EQ(left("tokens"), 900);
  EXPECT_EQ(left("requests"), 9);
}

TEST_F(BudgetReservationTest, IsCancelled) {
  BudgetReservation reservation = reserve(300);
  reservation.cancel();
  EXPECT_EQ(left("tokens"), 1000);
  EXPECT_EQ(left("requests"), 10);
}

TEST_F(BudgetReservationTest, HoldsNothingWhenItWasRefused) {
  BudgetReservation reservation = reserve(1001);
  EXPECT_FALSE(reservation);
  EXPECT_EQ(reservation.decision().refused_by, 1U);
  EXPECT_EQ(reservation.cost(0), 0);
  reservation.cancel();
  EXPECT_EQ(left("requests"), 10);
}

TEST_F(BudgetReservationTest, AddsAllOrNothingWhileAnAnswerStreams) {
  BudgetReservation reservation = reserve(300);
  EXPECT_TRUE(reservation.add({0, 600}));
  EXPECT_FALSE(reservation.add({1, 200}));
  EXPECT_EQ(reservation.cost(0), 1);
  EXPECT_EQ(reservation.cost(1), 900);
  EXPECT_EQ(left("requests"), 9);
  reservation.settle({1, 850});
  EXPECT_EQ(left("tokens"), 150);
}

TEST_F(BudgetReservationTest, GivesBackToTheWindowsThatWereChargedAndStillCount) {
  BudgetReservation reservation = reserve(300);  // sub-windows of a minute
  clock_->advance(61s);                          // the window of the requests has ended
  EXPECT_TRUE(limiter_.consume({{"requests", "user", 4}}));
  EXPECT_TRUE(reservation.add({0, 100}));
  EXPECT_EQ(left("tokens"), 600);
  reservation.settle({0, 50});
  EXPECT_EQ(left("tokens"), 950);
  EXPECT_EQ(left("requests"), 6) << "the request was charged to a window that no longer counts";
  clock_->advance(20min);
  EXPECT_EQ(left("tokens"), 1000);
}

TEST_F(BudgetReservationTest, IsSettledInAnotherProcessOnce) {
  BudgetReservation reservation = reserve(300);
  EXPECT_TRUE(reservation.add({0, 10}));
  const std::string token = reservation.token();
  EXPECT_THAT(token, StartsWith("tb1."));
  BudgetLimiter other{client_, config()};
  BudgetReservation adopted = other.adopt(token);
  EXPECT_TRUE(adopted);
  EXPECT_EQ(adopted.cost(1), 310);
  adopted.settle({1, 100});
  EXPECT_EQ(left("tokens"), 900);
  other.adopt(token).cancel();
  reservation.settle({0, 0});
  EXPECT_EQ(left("tokens"), 900);
  EXPECT_EQ(left("requests"), 9);
}

TEST_F(BudgetReservationTest, ThatIsSharedIsNotSettledAfterAnHour) {
  BudgetReservation reservation = reserve(300);
  static_cast<void>(reservation.token());
  clock_->advance(1h + 1s);
  reservation.settle({1, 500});
  EXPECT_EQ(left("tokens"), 1000);
  EXPECT_EQ(limiter_.undelivered().batches, 1U);
  EXPECT_EQ(limiter_.undelivered().tokens, 200U);
}

TEST_F(BudgetReservationTest, RefusesTokensThatAreNotItsLimitersOwn) {
  BudgetReservation reservation = reserve(300);
  std::string token = reservation.token();
  const auto rejected = [](BudgetLimiter& limiter, const std::string& text) {
    return rejection([&] { static_cast<void>(limiter.adopt(text)); });
  };
  EXPECT_THAT(rejected(limiter_, "tg2.00.00"), HasSubstr("it does not start with tb1."));
  EXPECT_THAT(rejected(limiter_, token.substr(0, token.size() - 2)), HasSubstr("damaged"));
  BudgetConfig other = config();
  other.token_secret = "a secret of 24 bytes ...";
  BudgetLimiter with_secret{client_, other};
  EXPECT_THAT(rejected(with_secret, token), HasSubstr("another token_secret"));
  other = config();
  other.limits.erase(other.limits.begin());
  BudgetLimiter without_limit{client_, other};
  EXPECT_THAT(rejected(without_limit, token), HasSubstr("it names a limit that this limiter does not have"));
}

TEST_F(BudgetReservationTest, RepeatedUnderAnOperationIdIsChargedAndSettledOnce) {
  const std::vector<Charge> charges{{"requests", "user"}, {"tokens", "user", 300}};
  BudgetReservation first = limiter_.reserve(charges, {.operation_id = "op"});
  BudgetReservation again = limiter_.reserve(charges, {.operation_id = "op"});
  EXPECT_TRUE(again);
  EXPECT_EQ(left("tokens"), 700);
  again.settle({1, 100});
  first.settle({0, 0});
  EXPECT_EQ(left("tokens"), 900);
}

TEST_F(BudgetReservationTest, HoldsSlotsUntilItIsSettled) {
  BudgetReservation one = limiter_.reserve({{"running", "model"}});
  BudgetReservation two = limiter_.reserve({{"running", "model"}});
  EXPECT_FALSE(limiter_.reserve({{"running", "model"}}));
  one.settle({1});
  EXPECT_EQ(left("running", "model"), 1);
  two.cancel();
  EXPECT_EQ(left("running", "model"), 2);
}

TEST_F(BudgetReservationTest, HoldsSlotsAsLongAsItsLeaseIsRenewed) {
  BudgetReservation reservation = limiter_.reserve({{"running", "model"}});
  clock_->advance(29s);
  EXPECT_TRUE(reservation.renew());
  clock_->advance(29s);
  EXPECT_EQ(left("running", "model"), 1);
  clock_->advance(2s);
  EXPECT_EQ(left("running", "model"), 2) << "as after a crash";
  reservation.settle({1});
  EXPECT_EQ(left("running", "model"), 2) << "a slot is freed once";
}

TEST_F(BudgetReservationTest, RenewsNothingWithoutSlots) {
  BudgetReservation reservation = reserve(300);
  EXPECT_TRUE(reservation.renew());
  reservation.cancel();
  EXPECT_THROW(static_cast<void>(reservation.renew()), std::logic_error);
}

TEST_F(BudgetReservationTest, ThatIsDroppedStaysChargedAndIsReported) {
  { const BudgetReservation reservation = reserve(300); }
  EXPECT_EQ(left("tokens"), 700);
  EXPECT_EQ(limiter_.stats().reservations_dropped, 1U);
  ASSERT_EQ(log_->events.size(), 1U);
  EXPECT_EQ(log_->events[0].kind, EventKind::kReservationDropped);
  EXPECT_EQ(log_->events[0].tokens, 301);
}

TEST_F(BudgetReservationTest, MayBeMovedAndOutliveItsLimiter) {
  auto limiter = std::make_unique<BudgetLimiter>(client_, config());
  BudgetReservation reservation = limiter->reserve({{"tokens", "user", 300}});
  limiter.reset();
  BudgetReservation moved = std::move(reservation);
  reservation.cancel();  // NOLINT(bugprone-use-after-move): without effect
  EXPECT_EQ(left("tokens"), 700);
  moved.settle({100});
  EXPECT_EQ(left("tokens"), 900);
}

TEST_F(BudgetReservationTest, RefusesCostsThatDoNotFitAndUseAfterItsEnd) {
  BudgetReservation reservation = reserve(300);
  EXPECT_THAT(rejection([&] { reservation.settle({1}); }), HasSubstr("actual_costs has 1 entries; it must have 2"));
  EXPECT_THAT(rejection([&] { static_cast<void>(reservation.add({1, -1})); }), HasSubstr("costs[1] is -1"));
  reservation.settle({1, 300});
  EXPECT_THROW(static_cast<void>(reservation.add({0, 1})), std::logic_error);
  EXPECT_THROW(static_cast<void>(reservation.token()), std::logic_error);
}

TEST(BudgetReservationOfAFailedCall, HoldsNothingButWhatMayBeCharged) {
  const auto client = std::make_shared<::testing::NiceMock<testing::MockRedisClient>>();
  BudgetConfig config;
  config.limits = {{.name = "requests", .max = 10}};
  config.on_failure = FailurePolicy::kAllow;
  BudgetLimiter limiter{client, config};
  EXPECT_CALL(*client, execute).WillOnce(::testing::Return(testing::failure(Errc::kConnectFailed)));
  BudgetReservation uncounted = limiter.reserve({{"requests", "user", 3}});
  EXPECT_TRUE(uncounted);
  EXPECT_EQ(uncounted.cost(0), 0);
  EXPECT_CALL(*client, execute).WillOnce(::testing::Return(testing::failure(Errc::kTimeout, true)));
  BudgetReservation in_doubt = limiter.reserve({{"requests", "user", 3}});
  EXPECT_EQ(in_doubt.cost(0), 3);
  EXPECT_CALL(*client, post).Times(0);
  in_doubt.cancel();  // the window is not known, so nothing may be given back
  uncounted.settle({0});
}

}  // namespace
}  // namespace tollgate
