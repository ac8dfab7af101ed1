// The state machine of a BudgetLimiter's request, step by step, without client or clock.

#include "decisions/budget_flow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using decisions::Asked;
using decisions::BudgetCharges;
using decisions::BudgetFlow;
using decisions::BudgetOutcome;
using decisions::PendingBudget;
using decisions::Refusal;
using testing::error;
using testing::integer;
using testing::replies;
using Kind = PendingBudget::Kind;
using Needs = BudgetFlow::Needs;
using Step = PendingBudget::Step;

constexpr std::int64_t kTime = 1'767'225'600'000;

/// The state of one charge in a reply.
struct State {
  std::int64_t status, max, remaining, reset, retry, window;
};

Reply answer(std::int64_t allowed, const std::vector<State>& states) {
  std::vector<Reply> numbers{integer(allowed), integer(kTime)};
  for (const State& state : states) {
    for (const std::int64_t number :
         {state.status, state.max, state.remaining, state.reset, state.retry, state.window}) {
      numbers.push_back(integer(number));
    }
  }
  return testing::array(std::move(numbers));
}

class FlowOfABudget : public ::testing::Test {
 protected:
  static std::vector<Limit> limits() {
    return {{.name = "requests", .max = 100},
            {.name = "tokens", .max = 1000, .window = Window::token_bucket(1min)},
            {.name = "trial", .max = 10, .window = Window::utc_month(), .shadow = true}};
  }
  // Decisions refer to the limits of their flow, so flows live as long as the test.
  const BudgetFlow& flow(FailurePolicy policy = FailurePolicy::kThrow, bool overrides = false) {
    return flows_.emplace_back(limits(), "p",
                               BudgetFlow::Options{.on_failure = policy, .overrides_in_redis = overrides});
  }
  /// Of a Cluster.
  const BudgetFlow& divided(FailurePolicy policy = FailurePolicy::kThrow) {
    return flows_.emplace_back(limits(), "p", BudgetFlow::Options{.on_failure = policy, .divides_by_slot = true});
  }

  PendingBudget& start(const BudgetFlow& flow, const std::vector<Charge>& charges, Kind kind = Kind::kCharge,
                       std::string_view operation_id = {}) {
    outcome_ = {};
    pending_ = {};
    pending_.charges = BudgetCharges{flow.limits(), charges};
    pending_.kind = kind;
    pending_.operation_id = operation_id;
    pending_.outcome = &outcome_;
    flow.start(pending_);
    return pending_;
  }
  std::string batch(const BudgetFlow& flow) {
    CommandBatch batch;
    needs_ = flow.next_batch({&pending_, 1}, batch);
    return ::testing::PrintToString(batch);
  }
  const BudgetDecision& resume(const BudgetFlow& flow, const BatchResult& result) {
    CommandBatch batch;
    flow.next_batch({&pending_, 1}, batch);
    flow.resume({&pending_, 1}, result);
    return outcome_.decision;
  }

  static inline const std::vector<Charge> kTwo{{"requests", "key"}, {"tokens", "team", 300}};

  PendingBudget pending_;
  std::deque<BudgetFlow> flows_;
  BudgetOutcome outcome_;
  Needs needs_ = Needs::kNothing;
};

TEST_F(FlowOfABudget, ChargesByOneScript) {
  start(flow(), kTwo);
  EXPECT_EQ(batch(flow()),
            "[EVALSHA budget \"p:{key}:requests\" \"p:{team}:tokens\" 1 2 0 0 0 100 60 1 -1 0 2 1000 60 300 -1 0]");
  EXPECT_EQ(needs_, Needs::kRepliesAlsoLate);
  EXPECT_TRUE(pending_.uses_memory);
}

TEST_F(FlowOfABudget, ChargesACostOnceWhereLimitAndSubjectOccurTwice) {
  start(flow(), {{"requests", "key"}, {"requests", "key", 4}});
  EXPECT_EQ(batch(flow()), "[EVALSHA budget \"p:{key}:requests\" 1 1 0 0 0 100 60 5 -1 0]");
  const BudgetDecision& decision = resume(flow(), replies({answer(0, {{1, 100, 3, 9, 9, 7}})}));
  ASSERT_EQ(decision.states.size(), 2U);
  EXPECT_TRUE(decision.states[0].refuses);
  EXPECT_TRUE(decision.states[1].refuses);
  EXPECT_EQ(decision.refused_by, 0U);
}

TEST_F(FlowOfABudget, NamesOverridesAndRecordInTheScript) {
  start(flow(FailurePolicy::kThrow, true), {{"trial", "key", 2}}, Kind::kCharge, "op");
  EXPECT_EQ(batch(flow(FailurePolicy::kThrow, true)),
            "[EVALSHA budget \"p:{key}:trial\" \"p:{key}:max\" \"p:{key}:charge:op:2:\" 1 1 3 120 1 10 0 2 -1 1]");
}

TEST_F(FlowOfABudget, LooksWithoutChargingForAPeekAndForCostsOfZero) {
  start(flow(), {{"requests", "key", 5}}, Kind::kPeek);
  EXPECT_EQ(batch(flow()), "[EVALSHA budget \"p:{key}:requests\" 0 1 0 0 0 100 60 5 -1 0]");
  EXPECT_EQ(needs_, Needs::kReplies);
  start(flow(), {{"requests", "key", 0}});
  EXPECT_EQ(batch(flow()), "[EVALSHA budget \"p:{key}:requests\" 0 1 0 0 0 100 60 0 -1 0]");
  resume(flow(), replies({answer(1, {{0, 100, 100, 0, 0, 7}})}));
  EXPECT_TRUE(outcome_.decision.allowed);
  EXPECT_FALSE(outcome_.charged);
  EXPECT_EQ(pending_.asked, Asked::kPeek);
}

TEST_F(FlowOfABudget, AllowsWithTheStateOfEachLimit) {
  start(flow(), kTwo);
  const BudgetDecision& decision =
      resume(flow(), replies({answer(1, {{0, 100, 99, 60'000, 0, 29}, {0, 1000, 700, 18'000, 0, 31}})}));
  EXPECT_TRUE(decision);
  EXPECT_EQ(decision.source, Source::kRedis);
  EXPECT_EQ(decision.refused_by, std::nullopt);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  ASSERT_EQ(decision.states.size(), 2U);
  EXPECT_EQ(decision.states[0].limit, "requests");
  EXPECT_EQ(decision.states[0].remaining, 99);
  EXPECT_EQ(decision.states[0].reset_after, 60s);
  EXPECT_EQ(decision.states[0].retry_after, 0ms);
  EXPECT_EQ(decision.states[1].limit, "tokens");
  EXPECT_EQ(decision.states[1].max, 1000);
  EXPECT_EQ(decision.states[1].window, Window::token_bucket(1min));
  EXPECT_TRUE(outcome_.charged);
  EXPECT_TRUE(outcome_.windows_are_known);
  EXPECT_EQ(outcome_.server_time, std::chrono::milliseconds{kTime});
  EXPECT_EQ(pending_.charges.items()[1].state.window, 31);
  EXPECT_TRUE(pending_.answered);
  EXPECT_TRUE(pending_.uses_share);
  EXPECT_EQ(pending_.step, Step::kDone);
}

TEST_F(FlowOfABudget, RefusesByTheFirstThatDoesNotFitAndWaitsForTheLast) {
  start(flow(), {{"trial", "key"}, {"requests", "key"}, {"tokens", "team", 300}});
  const BudgetDecision& decision = resume(
      flow(),
      replies({answer(
          0, {{4, 10, 0, 90'000, 99'000, 1}, {1, 100, 0, 40'000, 40'000, 2}, {1, 1000, 9, 59'000, 17'460, 3}})}));
  EXPECT_FALSE(decision);
  EXPECT_EQ(decision.refused_by, 1U);
  EXPECT_EQ(decision.retry_after, 40s);
  EXPECT_FALSE(decision.states[0].refuses);
  EXPECT_TRUE(decision.states[0].would_refuse);
  EXPECT_TRUE(decision.states[2].refuses);
  EXPECT_EQ(decision.states[2].retry_after, 17'460ms);
  EXPECT_FALSE(outcome_.charged);
}

TEST_F(FlowOfABudget, HasNoRetryAfterForWhatNeverFits) {
  start(flow(FailurePolicy::kThrow, true), {{"requests", "key"}, {"tokens", "team", 300}});
  const BudgetDecision& decision =
      resume(flow(FailurePolicy::kThrow, true), replies({answer(0, {{1, 100, 0, 9, 9, 2}, {3, 200, 200, 0, -1, 3}})}));
  EXPECT_EQ(decision.refused_by, 0U);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  EXPECT_EQ(decision.states[1].retry_after, std::nullopt);
}

TEST_F(FlowOfABudget, RefusesTheImpossibleWithoutABatch) {
  start(flow(), {{"requests", "key"}, {"tokens", "team", 1001}});
  EXPECT_EQ(pending_.step, Step::kDone);
  EXPECT_EQ(batch(flow()), "[]");
  EXPECT_EQ(needs_, Needs::kNothing);
  EXPECT_FALSE(outcome_.decision.allowed);
  EXPECT_EQ(outcome_.decision.refused_by, 1U);
  EXPECT_EQ(outcome_.decision.retry_after, std::nullopt);
  EXPECT_EQ(outcome_.decision.source, Source::kLocal);
  EXPECT_EQ(outcome_.decision.states[0].remaining, std::nullopt);
  EXPECT_FALSE(outcome_.decision.states[0].refuses);
}

TEST_F(FlowOfABudget, AsksRedisForTheImpossibleWhereAnAnswerMayBeThere) {
  start(flow(), {{"trial", "key", 11}});  // in shadow mode
  EXPECT_EQ(pending_.step, Step::kAsk);
  start(flow(FailurePolicy::kThrow, true), {{"requests", "key", 101}});  // its override may be larger
  EXPECT_EQ(pending_.step, Step::kAsk);
  start(flow(), {{"requests", "key", 101}}, Kind::kCharge, "op");  // it may have been answered before
  EXPECT_EQ(pending_.step, Step::kAsk);
  start(flow(), {{"requests", "key", 101}}, Kind::kPeek);
  EXPECT_EQ(pending_.step, Step::kAsk);
}

TEST_F(FlowOfABudget, RefusesWhatIsRemembered) {
  const Refusal::Time now{10h};
  start(flow(), kTwo);
  pending_.charges.items()[1].remembered =
      Refusal{.cost = 300, .max = 1000, .until = now + 1s, .fits_at = now + 1500us, .resets_at = now + 9s};
  flow().advise(pending_, now);
  EXPECT_EQ(pending_.step, Step::kDone);
  EXPECT_EQ(outcome_.decision.refused_by, 1U);
  EXPECT_EQ(outcome_.decision.retry_after, 2ms);
  EXPECT_EQ(outcome_.decision.states[1].reset_after, 9s);
  EXPECT_EQ(outcome_.decision.source, Source::kLocal);
}

TEST_F(FlowOfABudget, RemembersAsMuchAsTheWindowAllows) {
  const Refusal::Time sent{10h};
  start(flow(), kTwo);
  resume(flow(), replies({answer(0, {{1, 100, 0, 40'000, 40'000, 2}, {1, 1000, 9, 59'000, 460, 3}})}));
  const Refusal fixed = flow().refusal_of(pending_.charges.items()[0], sent, 1s);
  EXPECT_EQ(fixed.cost, 1);
  EXPECT_EQ(fixed.until, sent + 1s);
  EXPECT_EQ(fixed.fits_at, sent + 40s);
  const Refusal bucket = flow().refusal_of(pending_.charges.items()[1], sent, 1s);
  EXPECT_EQ(bucket.cost, 300) << "ten tokens may fit before";
  EXPECT_EQ(bucket.until, sent + 460ms);
  EXPECT_EQ(bucket.resets_at, sent + 59s);
}

TEST_F(FlowOfABudget, LeavesAFailureToThePolicy) {
  const BatchResult lost = testing::failure(Errc::kTimeout, true);
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kDeny, FailurePolicy::kAllow}) {
    start(flow(policy), kTwo);
    const BudgetDecision& decision = resume(flow(policy), lost);
    EXPECT_EQ(decision.allowed, policy == FailurePolicy::kAllow);
    EXPECT_EQ(decision.failure, Errc::kTimeout);
    EXPECT_EQ(decision.source, Source::kFallback);
    EXPECT_EQ(decision.refused_by, std::nullopt);
    ASSERT_EQ(decision.states.size(), 2U);
    EXPECT_EQ(decision.states[1].remaining, std::nullopt);
    EXPECT_TRUE(pending_.in_doubt);
    EXPECT_EQ(outcome_.charged, policy == FailurePolicy::kAllow);
    EXPECT_FALSE(outcome_.windows_are_known);
  }
}

TEST_F(FlowOfABudget, WaitsForTheLocalShare) {
  const BudgetFlow& flow = this->flow(FailurePolicy::kLocalShare);
  for (const bool granted : {true, false}) {
    start(flow, kTwo);
    resume(flow, testing::failure(Errc::kConnectFailed));
    EXPECT_EQ(pending_.step, Step::kAwaitLocalShare);
    flow.resume(pending_, granted);
    EXPECT_EQ(pending_.step, Step::kDone);
    EXPECT_EQ(outcome_.decision.allowed, granted);
    EXPECT_EQ(outcome_.charged, granted);
    EXPECT_EQ(outcome_.decision.failure, Errc::kConnectFailed);
  }
}

TEST_F(FlowOfABudget, AdmitsUnderNoPolicyWhatAClusterRefuses) {
  for (const char* text : {"CROSSSLOT Keys in request don't hash to the same slot", "MOVED 866 127.0.0.1:7001"}) {
    for (const FailurePolicy policy : {FailurePolicy::kAllow, FailurePolicy::kLocalShare}) {
      start(flow(policy), kTwo);
      EXPECT_FALSE(resume(flow(policy), replies({error(text)})).allowed);
      EXPECT_EQ(pending_.step, Step::kDone);
    }
  }
  start(flow(), kTwo);
  resume(flow(), replies({error("CROSSSLOT Keys in request don't hash to the same slot")}));
  EXPECT_THAT(outcome_.failure.value_or(Failure{}).detail, ::testing::HasSubstr("must have the same subject"));
}

TEST_F(FlowOfABudget, FailsOnARepliesOfTheWrongShape) {
  const std::vector<Reply> wrong{integer(1),
                                 testing::bulk("1"),
                                 testing::nil(),
                                 answer(1, {}),
                                 answer(1, {{0, 100, 99, 1, 0, 29}}),
                                 testing::array({integer(1), testing::bulk("x")})};
  for (const Reply& reply : wrong) {
    start(flow(), kTwo);
    resume(flow(), replies({reply}));
    EXPECT_EQ(outcome_.failure.value_or(Failure{}).code, Errc::kProtocol) << ::testing::PrintToString(reply);
    EXPECT_FALSE(outcome_.decision.allowed);
  }
}

TEST_F(FlowOfABudget, RecordsPastTheLimitsAndOnceUnderAnOperationId) {
  start(flow(), {{"requests", "key", 500}}, Kind::kRecord);
  EXPECT_EQ(batch(flow()), "[EVALSHA budget \"p:{key}:requests\" 2 1 0 0 0 100 60 500 -1 0]");
  resume(flow(), replies({answer(1, {{0, 100, 0, 9, 0, 29}})}));
  EXPECT_FALSE(outcome_.failure);
  EXPECT_TRUE(pending_.uses_share);
  start(flow(), {{"requests", "key", 500}}, Kind::kRecord, "op");
  EXPECT_EQ(batch(flow()),
            "[EVALSHA budget \"p:{key}:requests\" \"p:{key}:adjust:op:2:\" 2 1 2 120 0 100 60 500 -1 0]");
  resume(flow(), replies({testing::array({integer(-2), integer(kTime)})}));
  EXPECT_FALSE(outcome_.failure);
  EXPECT_FALSE(pending_.uses_share);
}

TEST_F(FlowOfABudget, KeepsRequestsOfOneBatchApart) {
  std::vector<PendingBudget> all(3);
  std::vector<BudgetOutcome> outcomes(3);
  const std::vector<std::vector<Charge>> charges{{{"requests", "a"}}, {{"tokens", "b", 2000}}, {{"requests", "c"}}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].charges = BudgetCharges{limits(), charges[i]};
    all[i].outcome = &outcomes[i];
    flow().start(all[i]);
  }
  CommandBatch batch;
  flow().next_batch(all, batch);
  ASSERT_EQ(batch.size(), 2U);
  flow().resume(all, replies({answer(0, {{1, 100, 0, 9, 9, 7}}), error("WRONGTYPE Operation against a key")}));
  EXPECT_EQ(outcomes[0].decision.refused_by, 0U);
  EXPECT_EQ(outcomes[1].decision.source, Source::kLocal);
  EXPECT_EQ(outcomes[2].decision.failure, Errc::kWrongType);
}

TEST_F(FlowOfABudget, GivesBackWhatWasChargedLate) {
  start(flow(), kTwo);
  CommandBatch charge;
  flow().next_batch({&pending_, 1}, charge);
  const BatchResult charged = replies({answer(1, {{0, 100, 99, 9, 0, 29}, {0, 1000, 700, 9, 0, 31}})});
  EXPECT_EQ(::testing::PrintToString(decisions::give_back_late(charge, charged)),
            "[EVALSHA budget \"p:{key}:requests\" \"p:{team}:tokens\" 2 2 0 0 0 100 60 -1 29 0 2 1000 60 -300 31 0]");
  const BatchResult refused = replies({answer(0, {{1, 100, 0, 9, 9, 29}, {0, 1000, 700, 9, 0, 31}})});
  EXPECT_TRUE(decisions::give_back_late(charge, refused).empty());
  EXPECT_TRUE(decisions::give_back_late(charge, testing::failure(Errc::kConnectionLost, true)).empty());
  EXPECT_TRUE(decisions::give_back_late(charge, replies({error("OOM command not allowed")})).empty());
  EXPECT_EQ(decisions::amount_of(charge[0]), 301);

  start(flow(), kTwo, Kind::kCharge, "op");  // may be repeated
  CommandBatch recorded;
  flow().next_batch({&pending_, 1}, recorded);
  EXPECT_TRUE(decisions::give_back_late(recorded, charged).empty());
}

// --- on a Cluster ----------------------------------------------------------------------------------------------------

using DividedBudget = FlowOfABudget;

const std::vector<Charge> kThreeSlots{
    {"requests", "key"}, {"tokens", "team", 300}, {"tokens", "key", 300}, {"trial", "all"}};

/// The answers of the three parts: of the items 0 and 2, of 1, and of 3.
BatchResult three_answers(std::int64_t first, std::int64_t second) {
  return replies({answer(first, {{1 - first, 100, 9, 1, 5, 29}, {0, 1000, 700, 1, 0, 31}}),
                  answer(second, {{1 - second, 1000, 0, 1, 7, 33}}), answer(1, {{0, 10, 5, 1, 0, 2}})});
}

TEST_F(DividedBudget, IsOneScriptForEachHashSlot) {
  start(divided(), kThreeSlots);
  EXPECT_EQ(batch(divided()),
            "[EVALSHA budget \"p:{key}:requests\" \"p:{key}:tokens\" 1 2 0 0 0 100 60 1 -1 0 2 1000 60 300 -1 0, "
            "EVALSHA budget \"p:{team}:tokens\" 1 1 0 0 2 1000 60 300 -1 0, "
            "EVALSHA budget \"p:{all}:trial\" 1 1 0 0 1 10 0 1 -1 1]");
  resume(divided(), three_answers(1, 1));
  EXPECT_TRUE(outcome_.decision);
  EXPECT_TRUE(outcome_.charged);
  EXPECT_EQ(outcome_.decision.states[2].remaining, 700);
  EXPECT_EQ(pending_.charges.items()[3].state.window, 2);
  EXPECT_EQ(BudgetFlow::amount_to_give_back({&pending_, 1}), 0);
}

TEST_F(DividedBudget, GivesBackWhereAnotherSlotRefused) {
  start(divided(), kThreeSlots);
  resume(divided(), three_answers(1, 0));
  EXPECT_FALSE(outcome_.decision);
  EXPECT_EQ(outcome_.decision.refused_by, 1U);
  EXPECT_EQ(outcome_.decision.retry_after, 7ms);
  EXPECT_EQ(outcome_.decision.states[2].remaining, 1000) << "as after it was given back";
  EXPECT_FALSE(outcome_.charged);
  CommandBatch back;
  EXPECT_EQ(divided().give_back({&pending_, 1}, back), 302);
  EXPECT_EQ(::testing::PrintToString(back),
            "[EVALSHA budget \"p:{key}:requests\" \"p:{key}:tokens\" 2 2 0 0 0 100 60 -1 29 0 2 1000 60 -300 31 0, "
            "EVALSHA budget \"p:{all}:trial\" 2 1 0 0 1 10 0 -1 2 1]");
  CommandBatch again;
  divided().give_back({&pending_, 1}, again);
  EXPECT_TRUE(again.empty());
}

TEST_F(DividedBudget, GivesBackWhereAnotherSlotFailed) {
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kLocalShare}) {
    BatchResult result = three_answers(1, 1);
    result.replies[1] = {};
    result.failed_commands.push_back({1, {Errc::kTimeout, true, "set by a test"}});
    start(divided(policy), kThreeSlots);
    resume(divided(policy), result);
    EXPECT_EQ(outcome_.failure.value_or(Failure{}).code, Errc::kTimeout);
    EXPECT_EQ(pending_.doubtful, 300);
    EXPECT_EQ(BudgetFlow::amount_to_give_back({&pending_, 1}), 302);
  }
}

TEST_F(DividedBudget, SaysThatARecordWasMadeInPart) {
  BatchResult result = three_answers(1, 1);
  result.replies[1] = error("OOM command not allowed when used memory > 'maxmemory'.");
  start(divided(), kThreeSlots, Kind::kRecord);
  resume(divided(), result);
  EXPECT_EQ(outcome_.failure.value_or(Failure{}).code, Errc::kOutOfMemory);
  EXPECT_TRUE(outcome_.failure.value_or(Failure{}).may_have_executed);
  EXPECT_EQ(BudgetFlow::amount_to_give_back({&pending_, 1}), 0);
}

TEST_F(DividedBudget, IsNotDividedWhereItIsRecorded) {
  start(divided(), kThreeSlots, Kind::kCharge, "op");
  CommandBatch whole;
  divided().next_batch({&pending_, 1}, whole);
  EXPECT_EQ(whole.size(), 1U);
  CommandBatch settlement;
  divided().adjust({.charges = &pending_.charges, .once_id = "id", .round = 1, .record_ttl = 60s}, settlement);
  ASSERT_EQ(settlement.size(), 3U);
  EXPECT_EQ(settlement[0].keys[2], "p:{key}:adjust1:id:2:");
  EXPECT_EQ(settlement[2].keys[1], "p:{all}:adjust1:id:2:");
}

}  // namespace
}  // namespace tollgate
