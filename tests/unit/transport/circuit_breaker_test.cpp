#include "transport/circuit_breaker.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using Change = CircuitBreaker::Change;
using Permission = CircuitBreaker::Permission;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  Change fail() { return breaker_.fail(now_, random_); }
  Permission ask() { return breaker_.ask(now_); }
  void open() {
    for (int i = 0; i < CircuitBreaker::kInARow; ++i) static_cast<void>(fail());
  }
  /// How long it stays open from now on.
  CircuitBreaker::Time::duration pause() {
    const auto start = now_;
    while (!breaker_.may_connect(now_)) now_ += 100us;
    return now_ - start;
  }

  CircuitBreaker breaker_;
  CircuitBreaker::Time now_{1h};
  double random_ = 0.0;
};

TEST_F(CircuitBreakerTest, LetsCallsPassFromTheStart) {
  EXPECT_EQ(ask(), Permission::kCall);
  EXPECT_TRUE(breaker_.may_connect(now_));
}

TEST_F(CircuitBreakerTest, OpensAtTheFifthFailureInARowAndNoSooner) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(fail(), Change::kNone);
  EXPECT_EQ(ask(), Permission::kCall);
  EXPECT_EQ(fail(), Change::kOpened);
  EXPECT_EQ(ask(), Permission::kRefused);
  EXPECT_FALSE(breaker_.may_connect(now_));
}

TEST_F(CircuitBreakerTest, ASuccessRestartsTheCountOfFailuresInARow) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(fail(), Change::kNone);
  EXPECT_EQ(breaker_.succeed(), Change::kNone);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(fail(), Change::kNone);
  EXPECT_EQ(ask(), Permission::kCall);
}

TEST_F(CircuitBreakerTest, OpensWhenHalfOfTheLast32CallsFailed) {
  for (int i = 0; i < 15; ++i) {
    EXPECT_EQ(fail(), Change::kNone);
    EXPECT_EQ(breaker_.succeed(), Change::kNone);
  }
  EXPECT_EQ(fail(), Change::kOpened);
}

TEST_F(CircuitBreakerTest, OldFailuresDoNotCount) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(fail(), Change::kNone);
    EXPECT_EQ(breaker_.succeed(), Change::kNone);
    EXPECT_EQ(breaker_.succeed(), Change::kNone);
  }
  EXPECT_EQ(ask(), Permission::kCall);
}

TEST_F(CircuitBreakerTest, OpensAtOnceWhenNoConnectionCanBeMade) {
  EXPECT_EQ(breaker_.open(now_, random_), Change::kOpened);
  EXPECT_EQ(ask(), Permission::kRefused);
}

TEST_F(CircuitBreakerTest, AfterThePauseExactlyOneProbePasses) {
  open();
  now_ += 24ms;
  EXPECT_EQ(ask(), Permission::kRefused);
  now_ += 1ms;
  EXPECT_EQ(ask(), Permission::kProbe);
  EXPECT_EQ(ask(), Permission::kRefused);
  EXPECT_TRUE(breaker_.may_connect(now_));
}

TEST_F(CircuitBreakerTest, AnAnsweredProbeClosesAndClearsTheHistory) {
  open();
  now_ += pause();
  ASSERT_EQ(ask(), Permission::kProbe);
  EXPECT_EQ(breaker_.succeed(), Change::kClosed);
  EXPECT_EQ(ask(), Permission::kCall);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(fail(), Change::kNone);
  EXPECT_EQ(fail(), Change::kOpened);
  EXPECT_EQ(pause(), 25ms);
}

TEST_F(CircuitBreakerTest, AFailedProbeKeepsItOpenForTwiceAsLongUpToHalfASecond) {
  open();
  EXPECT_EQ(pause(), 25ms);
  for (const auto expected : {50ms, 100ms, 200ms, 400ms, 500ms, 500ms, 500ms}) {
    ASSERT_EQ(ask(), Permission::kProbe);
    EXPECT_EQ(fail(), Change::kStaysOpen);
    EXPECT_EQ(pause(), expected);
  }
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(breaker_.open(now_, random_), Change::kStaysOpen);
  EXPECT_EQ(pause(), 500ms);
}

TEST_F(CircuitBreakerTest, JitterTakesUpToHalfOffAPause) {
  random_ = 0.5;
  open();
  EXPECT_EQ(pause(), 18800us);  // 18.75 ms
  random_ = 0.999;
  ASSERT_EQ(ask(), Permission::kProbe);
  static_cast<void>(fail());
  EXPECT_GT(pause(), 25ms);
}

TEST_F(CircuitBreakerTest, AProbeWithoutOutcomeIsFollowedByAnother) {
  open();
  now_ += pause();
  ASSERT_EQ(ask(), Permission::kProbe);
  breaker_.end_probe();
  EXPECT_EQ(ask(), Permission::kProbe);
}

TEST_F(CircuitBreakerTest, CallsInFlightWhenItOpenedChangeNothing) {
  open();
  EXPECT_EQ(breaker_.succeed(), Change::kNone);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(fail(), Change::kNone);
  EXPECT_EQ(ask(), Permission::kRefused);
  EXPECT_EQ(pause(), 25ms);
}

}  // namespace
}  // namespace tollgate
