// The state machine of a request, step by step: batches out, replies in, without a client, a thread or a clock.
#include "decisions/decision_flow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate::decisions {
namespace {

using namespace std::chrono_literals;
using Asked = Effects::Asked;
using MemoryUpdate = Effects::MemoryUpdate;
using Needs = DecisionFlow::Needs;
using Step = PendingRequest::Step;
using testing::array;
using testing::bulk;
using testing::error;
using testing::integer;
using testing::nil;
using ::testing::PrintToString;
using testing::replies;

constexpr std::int64_t kMinute = 29'012'345;
constexpr std::chrono::system_clock::time_point kNow{std::chrono::minutes{kMinute} + 12'345ms};
const std::string kCharge = "[INCRBY \"p:user:29012345\" 10, EXPIRE \"p:user:29012345\" 60]";
const std::string kPeek = "[GET \"p:user:29012345\"]";
const std::string kAtomicCharge = "[EVALSHA admit \"p:user:29012345\" 10 100 60]";
const std::string kUndo = "[EVALSHA adjust \"p:user:29012345\" -10 60]";
const char* const kCrossSlot = "CROSSSLOT Keys in request don't hash to the same slot";

DecisionFlow flow_of(Admission admission = Admission::kPipelined, FailurePolicy policy = FailurePolicy::kThrow) {
  return DecisionFlow{FixedWindow{100, "p", admission}, policy};
}

/// One request, driven by hand.
class Driven {
 public:
  explicit Driven(DecisionFlow flow, std::int64_t tokens = 10, std::string_view operation_id = {})
      : flow_(std::move(flow)) {
    pending_.request = {"user", tokens, kNow, operation_id};
    pending_.outcome = &outcome_;
  }

  Driven& start() {
    flow_.start(pending_);
    return *this;
  }
  Driven& start_record() {
    flow_.start_record(pending_);
    return *this;
  }
  Driven& advise(DenyMemory::Advice advice) {
    flow_.advise(pending_, advice);
    return *this;
  }
  /// The next batch as text; empty when there is none.
  std::string batch() {
    CommandBatch batch;
    needs_ = flow_.next_batch({&pending_, 1}, batch);
    return batch.empty() ? "" : PrintToString(batch);
  }
  Driven& resume(const BatchResult& result) {
    flow_.resume({&pending_, 1}, result);
    return *this;
  }
  Driven& resume(std::vector<Reply> all) { return resume(replies(std::move(all))); }
  Driven& share(bool granted) {
    flow_.resume(pending_, granted);
    return *this;
  }
  std::string undo(Scripts scripts = Scripts::kRun) {
    CommandBatch batch;
    flow_.undo({&pending_, 1}, scripts, batch);
    return batch.empty() ? "" : PrintToString(batch);
  }

  [[nodiscard]] PendingRequest& pending() { return pending_; }
  [[nodiscard]] const Effects& effects() const { return pending_.effects; }
  [[nodiscard]] const Outcome& outcome() const { return outcome_; }
  [[nodiscard]] const Decision& decision() const { return outcome_.decision; }
  [[nodiscard]] bool done() const { return pending_.step == Step::kDone; }
  [[nodiscard]] Needs needs() const { return needs_; }

 private:
  DecisionFlow flow_;
  Outcome outcome_;
  PendingRequest pending_;
  Needs needs_ = Needs::kNothing;
};

TEST(DecisionFlow, DeniesARequestAboveTheLimitWithoutABatch) {
  Driven request{flow_of(), 101};
  EXPECT_TRUE(request.start().done());
  EXPECT_EQ(request.batch(), "");
  EXPECT_EQ(request.needs(), Needs::kNothing);
  EXPECT_FALSE(request.decision().allowed);
  EXPECT_EQ(request.decision().source, Source::kLocal);
  EXPECT_EQ(request.decision().retry_after, std::nullopt);
}

TEST(DecisionFlow, ChargesAndIsDone) {
  Driven request{flow_of()};
  EXPECT_EQ(request.start().batch(), kCharge);
  EXPECT_EQ(request.needs(), Needs::kRepliesAlsoLate);
  EXPECT_TRUE(request.resume({integer(40), integer(1)}).done());
  EXPECT_TRUE(request.decision().allowed);
  EXPECT_EQ(request.decision().remaining, 60);
  EXPECT_TRUE(request.outcome().charged);
  EXPECT_EQ(request.outcome().window, WindowId{kMinute});
  EXPECT_EQ(request.effects().asked, Asked::kCharge);
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kNothing);
  EXPECT_TRUE(request.effects().uses_share);
  EXPECT_EQ(request.undo(), "");
  EXPECT_EQ(request.batch(), "");
}

TEST(DecisionFlow, UndoesADeniedChargeOnceAndUpdatesTheDenyMemory) {
  Driven request{flow_of()};
  request.start().batch();
  EXPECT_TRUE(request.resume({integer(105), integer(1)}).done());
  EXPECT_FALSE(request.decision().allowed);
  EXPECT_FALSE(request.outcome().charged);
  EXPECT_FALSE(request.effects().uses_share);
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kDenied);
  EXPECT_EQ(request.undo(), kUndo);
  EXPECT_EQ(request.undo(), "");
}

TEST(DecisionFlow, UndoesByIncrByWhereScriptsAreRefused) {
  Driven request{flow_of()};
  request.start().batch();
  request.resume({integer(105), integer(1)});
  EXPECT_EQ(request.undo(Scripts::kRefused), "[INCRBY \"p:user:29012345\" -10, EXPIRE \"p:user:29012345\" 60]");
}

TEST(DecisionFlow, PeeksFirstOnAdviceAndChargesWhatFits) {
  Driven request{flow_of()};
  EXPECT_EQ(request.start().advise(DenyMemory::Advice::kPeek).batch(), kPeek);
  EXPECT_EQ(request.needs(), Needs::kReplies);
  EXPECT_FALSE(request.resume({bulk("90")}).done());
  EXPECT_EQ(request.effects().asked, Asked::kPeek);
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kLeft);
  EXPECT_EQ(request.effects().left, 10);
  EXPECT_EQ(request.batch(), kCharge);
  EXPECT_TRUE(request.resume({integer(100), integer(1)}).done());
  EXPECT_TRUE(request.decision().allowed);
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kAdmitted);
}

TEST(DecisionFlow, IsDeniedByThePeekAndChargesNothing) {
  Driven request{flow_of()};
  request.start().advise(DenyMemory::Advice::kPeek).batch();
  EXPECT_TRUE(request.resume({bulk("91")}).done());
  EXPECT_FALSE(request.decision().allowed);
  EXPECT_EQ(request.decision().remaining, 9);
  EXPECT_EQ(request.decision().source, Source::kRedis);
  EXPECT_EQ(request.undo(), "");
}

TEST(DecisionFlow, MakesNoMemoryUpdateFromACounterWithAChargeToBeUndone) {
  Driven request{flow_of()};
  request.start().advise(DenyMemory::Advice::kPeek).batch();
  request.resume({bulk("101")});
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kNothing);
}

TEST(DecisionFlow, IsDeniedByTheDenyMemoryWithoutABatch) {
  Driven request{flow_of()};
  EXPECT_TRUE(request.start().pending().uses_deny_memory);
  EXPECT_TRUE(request.advise(DenyMemory::Advice::kDeny).done());
  EXPECT_EQ(request.decision().source, Source::kLocal);
  EXPECT_EQ(request.decision().retry_after, 47'655ms);
  EXPECT_EQ(request.batch(), "");
}

TEST(DecisionFlow, OnlyPeeksForZeroTokensAndMakesNoMemoryUpdate) {
  Driven request{flow_of(), 0};
  EXPECT_EQ(request.start().batch(), kPeek);
  EXPECT_FALSE(request.pending().uses_deny_memory);
  EXPECT_TRUE(request.resume({nil()}).done());
  EXPECT_TRUE(request.decision().allowed);
  EXPECT_EQ(request.decision().remaining, 100);
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kNothing);
}

TEST(DecisionFlow, UpdatesTheDenyMemoryByAnAtomicDenial) {
  Driven request{flow_of(Admission::kAtomic)};
  EXPECT_EQ(request.start().batch(), kAtomicCharge);
  EXPECT_TRUE(request.resume({integer(-96)}).done());
  EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kLeft);
  EXPECT_EQ(request.effects().left, 5);
  EXPECT_EQ(request.undo(), "");
}

TEST(DecisionFlow, AppliesThePolicyToAFailure) {
  for (const bool in_doubt : {false, true}) {
    for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kDeny, FailurePolicy::kAllow}) {
      Driven request{flow_of(Admission::kPipelined, policy)};
      request.start().batch();
      EXPECT_TRUE(request.resume(testing::failure(Errc::kTimeout, in_doubt)).done());
      const bool allowed = policy == FailurePolicy::kAllow;
      EXPECT_EQ(request.decision().allowed, allowed);
      EXPECT_EQ(request.decision().source, Source::kFallback);
      EXPECT_EQ(request.decision().failure, Errc::kTimeout);
      ASSERT_TRUE(request.outcome().failure);
      EXPECT_EQ(request.outcome().charged, allowed && in_doubt);
      EXPECT_EQ(request.outcome().window, WindowId{kMinute});
      EXPECT_EQ(request.effects().in_doubt, in_doubt);
      EXPECT_EQ(request.effects().memory_update, MemoryUpdate::kNothing);
      EXPECT_EQ(request.undo(), "");
    }
  }
}

TEST(DecisionFlow, WaitsForTheLocalShare) {
  for (const bool granted : {false, true}) {
    Driven request{flow_of(Admission::kPipelined, FailurePolicy::kLocalShare)};
    request.start().batch();
    EXPECT_FALSE(request.resume(testing::failure(Errc::kConnectFailed)).done());
    EXPECT_EQ(request.pending().step, Step::kAwaitLocalShare);
    EXPECT_EQ(request.batch(), "");
    EXPECT_TRUE(request.share(granted).done());
    EXPECT_EQ(request.decision().allowed, granted);
    EXPECT_EQ(request.outcome().charged, granted);
    EXPECT_EQ(request.decision().failure, Errc::kConnectFailed);
  }
}

TEST(DecisionFlow, AppliesNoPolicyWhenAnotherNodeOfTheClusterHoldsTheCounter) {
  for (const FailurePolicy policy :
       {FailurePolicy::kThrow, FailurePolicy::kDeny, FailurePolicy::kAllow, FailurePolicy::kLocalShare}) {
    Driven request{flow_of(Admission::kPipelined, policy)};
    request.start().batch();
    const Reply moved = error("MOVED 3999 127.0.0.1:6381");
    EXPECT_TRUE(request.resume({moved, moved}).done());
    EXPECT_FALSE(request.decision().allowed);
    EXPECT_FALSE(request.outcome().charged);
    EXPECT_EQ(request.decision().failure, Errc::kMoved);
  }
}

TEST(DecisionFlow, UndoesAChargeWhoseExpiryWasRefused) {
  Driven request{flow_of(Admission::kPipelined, FailurePolicy::kAllow)};
  request.start().batch();
  EXPECT_TRUE(request.resume({integer(10), error("NOPERM no")}).done());
  EXPECT_EQ(request.outcome().failure->code, Errc::kPermissionDenied);
  EXPECT_EQ(request.outcome().failure->detail, "EXPIRE was answered with NOPERM");
  EXPECT_EQ(request.undo(), kUndo);
}

TEST(DecisionFlow, DecidesManyInOneBatchIndependently) {
  const DecisionFlow flow = flow_of();
  std::vector<Outcome> outcomes(4);
  std::vector<PendingRequest> pending(4);
  const std::vector<std::pair<const char*, std::int64_t>> requests{{"a", 60}, {"a", 50}, {"b", 0}, {"a", 40}};
  for (std::size_t i = 0; i < pending.size(); ++i) {
    pending[i].request = {requests[i].first, requests[i].second, kNow};
    pending[i].outcome = &outcomes[i];
    flow.start(pending[i]);
  }
  CommandBatch batch;
  EXPECT_EQ(flow.next_batch(pending, batch), Needs::kRepliesAlsoLate);
  EXPECT_EQ(batch.size(), 7U);
  // The 50 that are denied inflate the counter that the last charge reads.
  flow.resume(pending,
              replies({integer(60), integer(1), integer(110), integer(1), bulk("7"), integer(150), integer(1)}));
  EXPECT_TRUE(outcomes[0].decision.allowed);
  EXPECT_FALSE(outcomes[1].decision.allowed);
  EXPECT_EQ(outcomes[2].decision.remaining, 93);
  EXPECT_TRUE(outcomes[3].decision.allowed);
  EXPECT_EQ(outcomes[3].decision.remaining, 0);
  EXPECT_EQ(DecisionFlow::tokens_to_undo(pending), 50);
  CommandBatch undo;
  EXPECT_EQ(flow.undo(pending, Scripts::kRun, undo), 50);
  EXPECT_EQ(PrintToString(undo), "[EVALSHA adjust \"p:a:29012345\" -50 60]");
  CommandBatch nothing;
  EXPECT_EQ(flow.next_batch(pending, nothing), Needs::kNothing);
}

TEST(DecisionFlow, ChargesAnOperationOnceInOneScript) {
  Driven request{flow_of(Admission::kAtomic), 10, "op"};
  EXPECT_EQ(request.start().batch(),
            "[EVALSHA admit \"p:user:29012345\" \"p:user:charge:op:2:\" 10 100 60 29012345 120]");
  EXPECT_FALSE(request.pending().uses_deny_memory);
  EXPECT_TRUE(request.resume({array({integer(10), integer(kMinute - 1)})}).done());
  EXPECT_TRUE(request.outcome().charged);
  EXPECT_EQ(request.outcome().window, WindowId{kMinute - 1});
}

TEST(DecisionFlow, PutsTheRecordIntoTheSlotOfTheCounterAfterACrossSlot) {
  Driven request{flow_of(Admission::kAtomic), 10, "op"};
  request.start().batch();
  EXPECT_FALSE(request.resume({error(kCrossSlot)}).done());
  EXPECT_EQ(request.pending().record_place, RecordPlace::kOfCounter);
  EXPECT_EQ(request.effects().asked, Asked::kNothing);
  const std::string find = request.batch();  // a repetition may come from an earlier window
  EXPECT_THAT(find, ::testing::MatchesRegex("\\[GET \"p:user:29012344:.*:charge:op:2:\", "
                                            "GET \"p:user:29012343:.*:charge:op:2:\"\\]"));
  EXPECT_FALSE(request.resume({nil(), nil()}).done());
  EXPECT_THAT(request.batch(),
              ::testing::MatchesRegex("\\[EVALSHA admit \"p:user:29012345\" \"p:user:29012345:.*:charge:op:2:\" "
                                      "10 100 60 29012345 120\\]"));
  EXPECT_TRUE(request.resume({array({integer(10), integer(kMinute)})}).done());
  EXPECT_TRUE(request.decision().allowed);
}

TEST(DecisionFlow, AnswersARepetitionFromTheRecordOfAnEarlierWindow) {
  for (const std::string record : {"30 29012344", "-96 29012344"}) {
    Driven request{flow_of(Admission::kAtomic), 10, "op"};
    request.pending().record_place = RecordPlace::kOfCounter;
    request.start().batch();
    EXPECT_TRUE(request.resume({bulk(record), nil()}).done());
    EXPECT_EQ(request.decision().allowed, record[0] != '-');
    EXPECT_EQ(request.decision().remaining, record[0] != '-' ? 70 : 5);
    EXPECT_EQ(request.outcome().window, WindowId{kMinute - 1});
    EXPECT_EQ(request.batch(), "");
  }
}

TEST(DecisionFlow, RetriesAfterACrossSlotOnce) {
  Driven request{flow_of(Admission::kAtomic, FailurePolicy::kDeny), 10, "op"};
  request.pending().record_place = RecordPlace::kOfCounter;
  request.start().batch();
  request.resume({nil(), nil()}).batch();
  EXPECT_TRUE(request.resume({error(kCrossSlot)}).done());
  EXPECT_EQ(request.decision().failure, Errc::kCrossSlot);
}

TEST(DecisionFlow, RecordsPastTheLimitAndAppliesNoPolicy) {
  Driven request{flow_of(Admission::kPipelined, FailurePolicy::kAllow), 500};
  EXPECT_EQ(request.start_record().batch(), "[EVALSHA adjust \"p:user:29012345\" 500 60]");
  EXPECT_TRUE(request.resume({integer(500)}).done());
  EXPECT_FALSE(request.outcome().failure);
  EXPECT_TRUE(request.effects().uses_share);
  EXPECT_EQ(request.effects().asked, Asked::kNothing);

  Driven lost{flow_of(Admission::kPipelined, FailurePolicy::kLocalShare), 500};
  lost.start_record().batch();
  EXPECT_TRUE(lost.resume(testing::failure(Errc::kTimeout, true)).done());
  EXPECT_EQ(lost.outcome().failure->code, Errc::kTimeout);
  EXPECT_TRUE(lost.effects().in_doubt);
}

TEST(DecisionFlow, RecordsByIncrByWhereScriptsAreRefused) {
  Driven request{flow_of(), 500};
  request.pending().scripts = Scripts::kRefused;
  EXPECT_EQ(request.start_record().batch(), "[INCRBY \"p:user:29012345\" 500, EXPIRE \"p:user:29012345\" 60]");
  EXPECT_TRUE(request.resume({integer(500), integer(1)}).done());
  EXPECT_FALSE(request.outcome().failure);
}

TEST(DecisionFlow, RecordsByIncrByWhenTheScriptIsRefused) {
  Driven request{flow_of(), 500};
  request.start_record().batch();
  request.resume({Reply::error("NOPERM User app has no permissions to run the 'evalsha' command")});
  EXPECT_EQ(request.batch(), "[INCRBY \"p:user:29012345\" 500, EXPIRE \"p:user:29012345\" 60]");
  EXPECT_TRUE(request.resume({integer(500), integer(1)}).done());
  EXPECT_FALSE(request.outcome().failure);
}

TEST(DecisionFlow, DoesNotRecordByIncrByWhatTheScriptMayNotCharge) {
  Driven request{flow_of(), 500};
  request.start_record().batch();
  const Reply refused = Reply::error("NOPERM No permissions to access a key");
  EXPECT_TRUE(request.resume({refused}).done());
  EXPECT_EQ(request.outcome().failure->code, Errc::kPermissionDenied);
}

TEST(DecisionFlow, UndoesARecordWhoseExpiryIsRefused) {
  Driven request{flow_of(), 500};
  request.pending().scripts = Scripts::kRefused;
  request.start_record().batch();
  EXPECT_TRUE(request.resume({integer(500), Reply::error("BUSY a script is running")}).done());
  EXPECT_EQ(request.outcome().failure->code, Errc::kBusy);
  EXPECT_EQ(DecisionFlow::tokens_to_undo({&request.pending(), 1}), 500);
}

TEST(SettlementTest, GivesBackToTheWindowOfTheReservationAndChargesExcessToTheCurrentOne) {
  const WindowId charged{kMinute};
  const WindowId later{kMinute + 1};
  const Adjustment less = adjustment({"user", charged, charged, -20, "once"}, later, RecordPlace::kOfUser);
  EXPECT_EQ(less.window, charged);
  EXPECT_FALSE(less.window_counts);
  EXPECT_EQ(less.record_window, charged);
  const Adjustment more = adjustment({"user", charged, charged, 20, "once"}, later, RecordPlace::kOfUser);
  EXPECT_EQ(more.window, later);
  EXPECT_TRUE(more.window_counts);
  EXPECT_EQ(more.record_window, charged);  // so that it is made once, in whichever window
  EXPECT_TRUE(adjustment({"user", charged, charged, -20}, charged, RecordPlace::kOfUser).window_counts);
}

TEST(SettlementTest, IsRecordedBesideTheWindowThatWasChargedFirst) {
  const WindowId first{kMinute};
  const WindowId last{kMinute + 1};
  EXPECT_EQ(adjustment({"user", last, first, -20, "once"}, last, RecordPlace::kOfCounter).record_window, first);
}

TEST(SettlementTest, IsTooLateForASharedExcessWhenTheRecordOfAnotherMayHaveExpired) {
  const WindowId first{kMinute};
  const WindowId in_an_hour{kMinute + 60};
  const WindowId later{kMinute + 61};
  EXPECT_FALSE(is_too_late({"user", first, first, 20, "once"}, in_an_hour));
  EXPECT_TRUE(is_too_late({"user", first, first, 20, "once"}, later));
  EXPECT_TRUE(is_too_late({"user", later, first, 20, "once"}, later));
  EXPECT_FALSE(is_too_late({"user", first, first, 20}, later));           // no other holder
  EXPECT_FALSE(is_too_late({"user", first, first, -20, "once"}, later));  // changes nothing
  // The record of a settlement in the last minute that may charge outlives every later one that may.
  EXPECT_GE(kSettlementTtl, kSettlementLife + kWindowLength);
}

}  // namespace
}  // namespace tollgate::decisions
