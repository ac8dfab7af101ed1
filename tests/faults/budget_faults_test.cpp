// A BudgetLimiter whose server is down, frozen, full or comes back: calls end by their deadline, the policy decides,
// and what was charged late is given back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "faults/fault_test.hpp"
#include "tollgate/budget_limiter.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class BudgetFaults : public FaultTest {
 protected:
  static BudgetConfig budget(FailurePolicy policy = FailurePolicy::kThrow) {
    BudgetConfig config;
    config.limits = {{.name = "requests", .max = 100, .window = Window::fixed(24h * 366)},
                     {.name = "tokens", .max = 1000, .window = Window::sliding(24h * 366)}};
    config.on_failure = policy;
    config.deny_memory = 0ms;
    return config;
  }

  /// What is left of both limits, asked by another client.
  [[nodiscard]] std::vector<std::int64_t> left() const {
    BudgetLimiter limiter{connect(server_.url(), kPatient), budget()};
    const BudgetDecision decision = limiter.peek({{"requests", "u", 0}, {"tokens", "u", 0}});
    return {decision.states[0].remaining.value_or(-1), decision.states[1].remaining.value_or(-1)};
  }
  [[nodiscard]] bool soon_left(std::int64_t requests, std::int64_t tokens) const {
    return soon([&] { return left() == std::vector{requests, tokens}; });
  }

  static inline const std::vector<Charge> kBoth{{"requests", "u"}, {"tokens", "u", 50}};
};

TEST_F(BudgetFaults, AFrozenServerDelaysACallToItsDeadlineAndTheLateChargeIsGivenBack) {
  const auto client = connect(server_.url(), kQuick);
  BudgetLimiter limiter{client, budget()};
  ASSERT_TRUE(limiter.consume(kBoth));
  server_.pause();
  const auto start = Clock::now();
  const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.consume(kBoth)); });
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_EQ(limiter.stats().in_doubt, 1U);
  EXPECT_EQ(limiter.stats().in_doubt_tokens, 51U);
  server_.resume();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon_left(99, 950));
}

TEST_F(BudgetFaults, EachPolicyDecidesWhileTheServerIsDown) {
  server_.kill();
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny}) {
    BudgetLimiter limiter{connect(server_.url(), kQuick), budget(policy)};
    const auto start = Clock::now();
    const BudgetDecision decision = limiter.try_consume(kBoth);
    EXPECT_LT(Clock::now() - start, 1s);
    EXPECT_EQ(decision.allowed, policy == FailurePolicy::kAllow);
    EXPECT_EQ(decision.source, Source::kFallback);
    EXPECT_EQ(decision.failure, Errc::kConnectFailed);
    if (policy == FailurePolicy::kThrow) {
      EXPECT_THROW(static_cast<void>(limiter.consume(kBoth)), ConnectionError);
    }
    EXPECT_THROW(limiter.record(kBoth), ConnectionError) << "no policy can record it";
  }
}

TEST_F(BudgetFaults, TheLocalShareIsGrantedAndChargedOnceTheServerIsBack) {
  const auto client = connect(server_.url(), kQuick);
  BudgetLimiter limiter{client, budget(FailurePolicy::kLocalShare)};  // 10 requests, 100 tokens
  ASSERT_TRUE(limiter.consume({{"requests", "u"}, {"tokens", "u", 30}}));
  server_.kill();
  EXPECT_TRUE(limiter.consume(kBoth));
  EXPECT_FALSE(limiter.consume(kBoth)) << "20 of the share of 100 tokens are left";
  EXPECT_TRUE(limiter.consume({{"requests", "u"}, {"tokens", "u", 20}}));
  EXPECT_FALSE(limiter.consume({{"tokens", "u"}}));
  server_.restart();  // empty
  EXPECT_TRUE(soon([&] { return limiter.try_consume({{"requests", "u", 0}}).source == Source::kRedis; }));
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon_left(98, 930));
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(BudgetFaults, ASettlementIsDeliveredOnceTheServerAnswersAgain) {
  const auto client = connect(server_.url(), kQuick);
  BudgetLimiter limiter{client, budget()};
  BudgetReservation reservation = limiter.reserve(kBoth);
  ASSERT_TRUE(reservation);
  server_.pause();
  const auto start = Clock::now();
  reservation.settle({0, 10});
  EXPECT_LT(Clock::now() - start, 1s);
  server_.resume();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon_left(100, 990));
}

TEST_F(BudgetFaults, AFullServerRefusesAndASettlementIsSentAgain) {
  const auto client = connect(server_.url(), kPatient);
  BudgetLimiter limiter{client, budget()};
  BudgetReservation reservation = limiter.reserve(kBoth);
  ASSERT_TRUE(reservation);
  server_.command({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_EQ(limiter.try_consume(kBoth).failure, Errc::kOutOfMemory);
  reservation.settle({1, 20});
  server_.command({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(soon_left(99, 980));
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(BudgetFaults, ADecisionIsOneRoundTripEitherWayAndNoneWhenItIsRememberedOrImpossible) {
  BudgetConfig config = budget();
  config.deny_memory = 1min;
  config.clock = clock_;  // which stands still
  BudgetLimiter limiter{connect(gate_.url(), kPatient), config};
  ASSERT_TRUE(limiter.consume(kBoth));  // connects, and loads the script
  int before = gate_.turns();
  EXPECT_TRUE(limiter.consume(kBoth));
  EXPECT_EQ(gate_.turns() - before, 1);
  before = gate_.turns();
  EXPECT_FALSE(limiter.consume({{"requests", "u"}, {"tokens", "u", 950}}));
  EXPECT_EQ(gate_.turns() - before, 1);
  const std::size_t bytes = gate_.request_bytes();
  EXPECT_FALSE(limiter.consume({{"requests", "other"}, {"tokens", "u", 950}}));     // remembered
  EXPECT_FALSE(limiter.consume({{"requests", "u", 101}, {"tokens", "other", 5}}));  // impossible
  EXPECT_EQ(gate_.request_bytes(), bytes);
  before = gate_.turns();
  BudgetReservation reservation = limiter.reserve(kBoth);
  reservation.settle({1, 20});
  EXPECT_TRUE(soon_left(97, 880));
  EXPECT_EQ(gate_.turns() - before, 2);
}

TEST_F(BudgetFaults, ALostReplyIsInDoubtAndNeverSentAgain) {
  BudgetLimiter limiter{connect(gate_.url(), kQuick), budget()};
  ASSERT_TRUE(limiter.consume(kBoth));
  gate_.cut_after_reply_bytes(10);
  const auto error = thrown_by<Error>([&] { static_cast<void>(limiter.consume(kBoth)); });
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_TRUE(soon([&] { return left()[0] <= 98; }));
  EXPECT_EQ(left(), (std::vector<std::int64_t>{98, 900}));
}

TEST_F(BudgetFaults, ARequestCutAtAnyByteChargesNothingAndLeavesNoKeyWithoutExpiry) {
  for (std::size_t bytes = 1; bytes < 250; bytes += 3) {
    const auto client = connect(gate_.url(), kPatient);
    BudgetLimiter limiter{client, budget()};
    ASSERT_TRUE(limiter.peek(kBoth));  // loads the script
    gate_.cut_after_request_bytes(bytes);
    const BudgetDecision decision = limiter.try_consume(kBoth);
    EXPECT_FALSE(decision.allowed) << bytes;
    EXPECT_TRUE(decision.failure) << bytes;
    ASSERT_TRUE(client->drain(Clock::now() + 5s));
    ASSERT_EQ(left(), (std::vector<std::int64_t>{100, 1000})) << bytes;
    ASSERT_THAT(server_.keys_without_ttl(), ::testing::IsEmpty()) << bytes;
  }
}

TEST_F(BudgetFaults, AReplyCutAtAnyByteAllowsNothingAndItsChargeIsMadeOnce) {
  for (std::size_t bytes = 0; bytes < 80; ++bytes) {
    BudgetLimiter limiter{connect(gate_.url(), kPatient), budget()};
    ASSERT_TRUE(limiter.peek(kBoth));
    gate_.cut_after_reply_bytes(bytes);
    const BudgetDecision decision = limiter.try_consume(kBoth);
    EXPECT_FALSE(decision.allowed) << bytes;
    EXPECT_EQ(decision.failure, Errc::kConnectionLost) << bytes;
    EXPECT_EQ(limiter.stats().in_doubt_tokens, 51U) << bytes;
    ASSERT_TRUE(soon_left(99, 950)) << bytes;
    ASSERT_THAT(server_.keys_without_ttl(), ::testing::IsEmpty()) << bytes;
    server_.command({"FLUSHALL"});
  }
}

}  // namespace
}  // namespace tollgate::tests
