#include "decisions/fixed_window.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"
#include "values/scripts.hpp"

namespace tollgate::decisions {
namespace {

using namespace std::chrono_literals;
using testing::array;
using testing::bulk;
using testing::error;
using testing::integer;
using testing::nil;
using ::testing::PrintToString;
using testing::replies;
using testing::status;

constexpr std::int64_t kMinute = 29'012'345;
constexpr std::chrono::system_clock::time_point kNow{std::chrono::minutes{kMinute} + 12'345ms};
constexpr auto kUntilReset = 47'655ms;
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();

const FixedWindow kPipelined{100, "p", Admission::kPipelined};
const FixedWindow kAtomic{100, "p", Admission::kAtomic};
const FixedWindow kLargest{kMaxTokens, "p", Admission::kPipelined};
const FixedWindow kLargestAtomic{kMaxTokens, "p", Admission::kAtomic};

Request request(std::int64_t tokens, std::string_view operation_id = {}) {
  return {"user_42", tokens, kNow, operation_id};
}

CommandBatch charge_of(const FixedWindow& window, const Request& request) {
  CommandBatch batch;
  window.charge(request, batch);
  return batch;
}

CommandBatch look_of(const FixedWindow& window, const Request& request) {
  CommandBatch batch;
  window.look(request, batch);
  return batch;
}

CommandBatch adjustment_of(const FixedWindow& window, std::int64_t tokens, bool window_counts,
                           std::string_view once_id = {}) {
  CommandBatch batch;
  window.adjust({"user_42", {kMinute}, tokens, window_counts, once_id}, batch);
  return batch;
}

void expect_failed(const Answer& answer, Errc code, bool must_undo) {
  EXPECT_EQ(answer.failure.code, code);
  EXPECT_EQ(answer.must_undo, must_undo);
}

TEST(PipelinedCharge, IsIncrByAndExpireOnTheCounterOfTheMinute) {
  EXPECT_EQ(PrintToString(charge_of(kPipelined, request(10))),
            "[INCRBY \"p:user_42:29012345\" 10, EXPIRE \"p:user_42:29012345\" 60]");
}

TEST(PipelinedCharge, IsAdmittedUpToTheLimit) {
  const Answer answer = kPipelined.read_charge(request(10), replies({integer(100), integer(1)}));
  EXPECT_FALSE(answer.failure.code);
  EXPECT_FALSE(answer.must_undo);
  EXPECT_EQ(answer.window.number, kMinute);
  EXPECT_EQ(answer.used, 100);
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.limit, 100);
  EXPECT_EQ(answer.decision.remaining, 0);
  EXPECT_EQ(answer.decision.retry_after, std::nullopt);
  EXPECT_EQ(answer.decision.reset_after, kUntilReset);
  EXPECT_EQ(answer.decision.source, Source::kRedis);
  EXPECT_FALSE(answer.decision.failure);
}

TEST(PipelinedCharge, IsDeniedAndUndoneOneOverTheLimit) {
  const Answer answer = kPipelined.read_charge(request(10), replies({integer(101), integer(1)}));
  EXPECT_FALSE(answer.failure.code);
  EXPECT_TRUE(answer.must_undo);
  EXPECT_EQ(answer.used, 91);
  EXPECT_FALSE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 9);
  EXPECT_EQ(answer.decision.retry_after, kUntilReset);
  EXPECT_EQ(answer.decision.reset_after, kUntilReset);
}

TEST(PipelinedCharge, ShowsADebtAsNothingRemaining) {
  const Answer answer = kPipelined.read_charge(request(10), replies({integer(210), integer(1)}));
  EXPECT_EQ(answer.used, 200);
  EXPECT_EQ(answer.decision.remaining, 0);
}

TEST(PipelinedCharge, NeverShowsMoreThanTheLimitRemaining) {
  const Answer answer = kPipelined.read_charge(request(10), replies({integer(-50), integer(1)}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 100);
}

TEST(PipelinedCharge, IsDecidedOnTheReplyOfIncrByAlone) {
  for (const Reply& expire : {integer(0), integer(1), integer(9999), nil(), status("OK")}) {
    EXPECT_TRUE(kPipelined.read_charge(request(10), replies({integer(100), expire})).decision.allowed);
    EXPECT_FALSE(kPipelined.read_charge(request(10), replies({integer(101), expire})).decision.allowed);
  }
}

TEST(PipelinedCharge, IsDecidedWithoutWhatItsOwnBatchWillUndo) {
  const Answer fits = kPipelined.read_charge(request(10), replies({integer(150), integer(1)}), 50);
  EXPECT_TRUE(fits.decision.allowed);
  EXPECT_EQ(fits.used, 100);
  EXPECT_EQ(fits.decision.remaining, 0);
  const Answer one_over = kPipelined.read_charge(request(10), replies({integer(151), integer(1)}), 50);
  EXPECT_FALSE(one_over.decision.allowed);
  EXPECT_TRUE(one_over.must_undo);
  EXPECT_EQ(one_over.used, 91);
}

TEST(PipelinedCharge, IsNotMadeNegativeByWhatItsOwnBatchWillUndo) {
  for (const std::int64_t counter : {kInt64Min, std::int64_t{-1}, std::int64_t{49}}) {
    const Answer answer = kPipelined.read_charge(request(10), replies({integer(counter), integer(1)}), 50);
    EXPECT_TRUE(answer.decision.allowed);
    EXPECT_EQ(answer.used, 0);
  }
}

TEST(PipelinedCharge, ReadsItsOwnRepliesAmongThoseOfMany) {
  const BatchResult many =
      replies({integer(7), bulk("90"), integer(101), integer(1), error("WRONGTYPE no"), integer(0)});
  EXPECT_EQ(kPipelined.read_look(request(10), {many, 1, 1}).decision.remaining, 10);
  EXPECT_EQ(kPipelined.read_charge(request(10), {many, 2, 2}).used, 91);
  expect_failed(kPipelined.read_charge(request(10), {many, 4, 2}), Errc::kWrongType, false);
  expect_failed(kPipelined.read_charge(request(10), {many, 2, 4}), Errc::kWrongType, true);
  for (const std::size_t first : {5U, 6U, 7U}) {
    expect_failed(kPipelined.read_charge(request(10), {many, first, 2}), Errc::kProtocol, first == 5);
  }
}

TEST(PipelinedCharge, IsExactAtTheLargestLimit) {
  const Request whole = request(kMaxTokens);
  EXPECT_TRUE(kLargest.read_charge(whole, replies({integer(kMaxTokens), integer(1)})).decision.allowed);
  const Answer over = kLargest.read_charge(request(2), replies({integer(kMaxTokens + 1), integer(1)}));
  EXPECT_FALSE(over.decision.allowed);
  EXPECT_EQ(over.decision.remaining, 1);
  const Answer far_over = kLargest.read_charge(whole, replies({integer(kInt64Max), integer(1)}));
  EXPECT_EQ(far_over.used, kInt64Max - kMaxTokens);
  EXPECT_EQ(far_over.decision.remaining, 0);
}

TEST(PipelinedCharge, FailsAndIsUndoneWhenExpireIsRefused) {
  const Answer answer = kPipelined.read_charge(request(10), replies({integer(10), error("OOM no")}));
  expect_failed(answer, Errc::kOutOfMemory, true);
  EXPECT_EQ(answer.failure.server_text, "OOM no");
}

TEST(PipelinedCharge, FailsWithNothingToUndoWhenIncrByIsRefused) {
  for (const Reply& expire : {integer(1), integer(0), error("OOM no")}) {
    expect_failed(kPipelined.read_charge(request(10), replies({error("WRONGTYPE no"), expire})), Errc::kWrongType,
                  false);
  }
  expect_failed(
      kPipelined.read_charge(request(10), replies({error("ERR increment or decrement would overflow"), integer(1)})),
      Errc::kOverflow, false);
}

TEST(PipelinedCharge, FailsWithNothingToUndoWhenTheRoundTripFailed) {
  const Answer answer = kPipelined.read_charge(request(10), testing::failure(Errc::kTimeout, true));
  expect_failed(answer, Errc::kTimeout, false);
  EXPECT_TRUE(answer.failure.may_have_executed);
}

TEST(PipelinedCharge, FailsWhenRepliesAreMissingOrTooMany) {
  expect_failed(kPipelined.read_charge(request(10), replies({})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_charge(request(10), replies({integer(10)})), Errc::kProtocol, true);
  expect_failed(kPipelined.read_charge(request(10), replies({integer(10), integer(1), integer(1)})), Errc::kProtocol,
                true);
}

TEST(PipelinedCharge, FailsWhenIncrByAnswersWithAnythingButANumber) {
  for (const Reply& reply : {nil(), status("OK"), bulk("ten"), array({integer(10)})}) {
    expect_failed(kPipelined.read_charge(request(10), replies({reply, integer(1)})), Errc::kProtocol, false);
  }
}

TEST(AtomicCharge, IsTheAdmitScriptOnTheCounterOfTheMinute) {
  EXPECT_EQ(PrintToString(charge_of(kAtomic, request(10))), "[EVALSHA admit \"p:user_42:29012345\" 10 100 60]");
}

TEST(AtomicCharge, IsRecordedUnderItsOperationId) {
  EXPECT_EQ(PrintToString(charge_of(kAtomic, request(10, "op-1"))),
            "[EVALSHA admit \"p:user_42:29012345\" \"p:user_42:charge:op-1:4:\" 10 100 60 29012345 120]");
}

TEST(AtomicCharge, IsAdmittedWithTheNewCounter) {
  const Answer answer = kAtomic.read_charge(request(10), replies({integer(91)}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 9);
  EXPECT_EQ(answer.decision.retry_after, std::nullopt);
  EXPECT_EQ(answer.used, 91);
  EXPECT_FALSE(answer.must_undo);
  EXPECT_TRUE(kAtomic.read_charge(request(10), replies({integer(0)})).decision.allowed);
}

TEST(AtomicCharge, IsDeniedWithTheCounterAndNothingToUndo) {
  const Answer answer = kAtomic.read_charge(request(10), replies({integer(-92)}));
  EXPECT_FALSE(answer.failure.code);
  EXPECT_FALSE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 9);
  EXPECT_EQ(answer.decision.retry_after, kUntilReset);
  EXPECT_EQ(answer.used, 91);
  EXPECT_FALSE(answer.must_undo);
}

TEST(AtomicCharge, TellsTheStateOfAnUntouchedOrIndebtedCounter) {
  EXPECT_EQ(kAtomic.read_charge(request(10), replies({integer(-1)})).used, 0);
  const Answer debt = kAtomic.read_charge(request(10), replies({integer(-501)}));
  EXPECT_EQ(debt.used, 500);
  EXPECT_EQ(debt.decision.remaining, 0);
}

TEST(AtomicCharge, IsExactAtTheLargestLimit) {
  EXPECT_EQ(kLargestAtomic.read_charge(request(1), replies({integer(kMaxTokens)})).decision.remaining, 0);
  const Answer denied = kLargestAtomic.read_charge(request(2), replies({integer(-kMaxTokens)}));
  EXPECT_EQ(denied.used, kMaxTokens - 1);
  EXPECT_EQ(denied.decision.remaining, 1);
}

TEST(AtomicCharge, SurvivesTheLargestNumbers) {
  EXPECT_EQ(kAtomic.read_charge(request(1), replies({integer(kInt64Min)})).used, kInt64Max);
  EXPECT_EQ(kAtomic.read_charge(request(1), replies({integer(kInt64Max)})).decision.remaining, 0);
}

TEST(AtomicCharge, TellsTheWindowOfTheFirstAnswerWhenRepeated) {
  const Answer answer = kAtomic.read_charge(request(10, "op-1"), replies({array({integer(30), integer(kMinute - 1)})}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.window.number, kMinute - 1);
  EXPECT_EQ(answer.decision.remaining, 70);
  const Answer denied = kAtomic.read_charge(request(10, "op-1"), replies({array({integer(-96), integer(kMinute)})}));
  EXPECT_FALSE(denied.decision.allowed);
  EXPECT_EQ(denied.used, 95);
}

TEST(AtomicCharge, FailsWithAnErrorReply) {
  expect_failed(kAtomic.read_charge(request(10), replies({error("NOPERM no")})), Errc::kPermissionDenied, false);
}

TEST(AtomicCharge, FailsWhenTheReplyIsMissingOrOfAnotherKind) {
  expect_failed(kAtomic.read_charge(request(10), replies({})), Errc::kProtocol, false);
  expect_failed(kAtomic.read_charge(request(10), replies({integer(1), integer(1)})), Errc::kProtocol, false);
  for (const Reply& reply : {nil(), status("OK"), bulk("ten"), array({}), array({integer(1)}),
                             array({nil(), integer(1)}), array({integer(1), integer(1), integer(1)})}) {
    expect_failed(kAtomic.read_charge(request(10), replies({reply})), Errc::kProtocol, false);
  }
  expect_failed(kAtomic.read_charge(request(10), testing::failure(Errc::kConnectionLost)), Errc::kConnectionLost,
                false);
}

TEST(Look, IsAGetOfTheCounter) {
  for (const FixedWindow* window : {&kPipelined, &kAtomic}) {
    EXPECT_EQ(PrintToString(look_of(*window, request(10, "op-1"))), "[GET \"p:user_42:29012345\"]");
  }
}

TEST(Look, AllowsWhatFitsExactly) {
  const Answer fits = kPipelined.read_look(request(10), replies({bulk("90")}));
  EXPECT_TRUE(fits.decision.allowed);
  EXPECT_EQ(fits.decision.remaining, 10);
  EXPECT_EQ(fits.decision.retry_after, std::nullopt);
  const Answer one_over = kPipelined.read_look(request(11), replies({bulk("90")}));
  EXPECT_FALSE(one_over.decision.allowed);
  EXPECT_EQ(one_over.decision.remaining, 10);
  EXPECT_EQ(one_over.decision.retry_after, kUntilReset);
  EXPECT_FALSE(one_over.must_undo);
}

TEST(Look, ShowsTheWholeBudgetOfAUserWithoutCounter) {
  const Answer answer = kPipelined.read_look(request(0), replies({nil()}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 100);
  EXPECT_EQ(answer.used, 0);
}

TEST(Look, SeesTheCounterWithoutWhatItsOwnBatchWillUndo) {
  EXPECT_EQ(kPipelined.read_look(request(0), replies({bulk("120")}), 50).used, 70);
  EXPECT_EQ(kPipelined.read_look(request(0), replies({bulk("20")}), 50).used, 0);
  EXPECT_EQ(kPipelined.read_look(request(0), replies({bulk("-9223372036854775808")}), 50).used, 0);
}

TEST(Look, WithZeroTokensIsDeniedOnlyAboveTheLimit) {
  EXPECT_TRUE(kPipelined.read_look(request(0), replies({bulk("100")})).decision.allowed);
  const Answer above = kPipelined.read_look(request(0), replies({bulk("101")}));
  EXPECT_FALSE(above.decision.allowed);
  EXPECT_EQ(above.decision.remaining, 0);
  EXPECT_EQ(above.decision.retry_after, kUntilReset);
}

TEST(Look, TakesANegativeCounterForNone) {
  const Answer answer = kPipelined.read_look(request(100), replies({bulk("-50")}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 100);
  EXPECT_EQ(answer.used, 0);
  EXPECT_FALSE(kPipelined.read_look(request(101), replies({bulk("-9223372036854775808")})).decision.allowed);
}

TEST(Look, IsExactAtTheLargestLimit) {
  EXPECT_TRUE(kLargest.read_look(request(1), replies({bulk("9007199254740990")})).decision.allowed);
  EXPECT_FALSE(kLargest.read_look(request(2), replies({bulk("9007199254740990")})).decision.allowed);
  EXPECT_FALSE(kLargest.read_look(request(0), replies({bulk("9223372036854775807")})).decision.allowed);
}

TEST(Look, FailsOnWhatIsNoCounterAndKeepsItsTextApart) {
  const Answer answer = kPipelined.read_look(request(0), replies({bulk("user data")}));
  expect_failed(answer, Errc::kWrongType, false);
  EXPECT_EQ(answer.failure.server_text, "user data");
  EXPECT_EQ(answer.failure.detail, "GET was answered with a text that is no counter");
  expect_failed(kPipelined.read_look(request(0), replies({error("WRONGTYPE no")})), Errc::kWrongType, false);
}

TEST(Look, FailsWhenTheReplyIsMissing) {
  expect_failed(kPipelined.read_look(request(0), replies({})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_look(request(0), replies({nil(), nil()})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_look(request(0), testing::failure(Errc::kTimeout)), Errc::kTimeout, false);
}

TEST(Adjust, LeavesExpiryAloneWhenItGivesBack) {
  EXPECT_EQ(PrintToString(adjustment_of(kPipelined, -30, true)), "[EVALSHA adjust \"p:user_42:29012345\" -30 0]");
}

TEST(Adjust, MayMakeACounterOnlyForAWindowThatCounts) {
  EXPECT_EQ(PrintToString(adjustment_of(kPipelined, 30, true)), "[EVALSHA adjust \"p:user_42:29012345\" 30 60]");
  EXPECT_EQ(PrintToString(adjustment_of(kPipelined, 30, false)), "[EVALSHA adjust \"p:user_42:29012345\" 30 0]");
}

TEST(Adjust, IsRecordedUnderItsNameApartFromChargesOfThatName) {
  EXPECT_EQ(PrintToString(adjustment_of(kAtomic, -30, true, "op-1")),
            "[EVALSHA adjust \"p:user_42:29012345\" \"p:user_42:adjust:op-1:4:\" -30 0 120]");
}

TEST(Adjust, TellsTheNewCounter) {
  const Answer answer = kPipelined.read_adjust(request(30), replies({integer(130)}));
  EXPECT_FALSE(answer.failure.code);
  EXPECT_EQ(answer.used, 130);
  EXPECT_EQ(answer.window.number, kMinute);
  EXPECT_FALSE(answer.must_undo);
}

TEST(Adjust, IsDoneWhenThereIsNoCounterOrItWasDoneBefore) {
  for (const std::int64_t reply : {kNoCounter, kAlreadyAdjusted}) {
    EXPECT_FALSE(kPipelined.read_adjust(request(30), replies({integer(reply)})).failure.code) << reply;
  }
}

TEST(Adjust, FailsOnAnErrorOrAnUnexpectedReply) {
  expect_failed(kPipelined.read_adjust(request(30), replies({error("ERR increment or decrement would overflow")})),
                Errc::kOverflow, false);
  expect_failed(kPipelined.read_adjust(request(30), replies({nil()})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_adjust(request(30), replies({})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_adjust(request(30), testing::failure(Errc::kTimeout, true)), Errc::kTimeout, false);
}

TEST(DenyLocally, KnowsWhenToComeBackUnlessThatNeverHelps) {
  Decision later;
  kPipelined.deny_locally(request(10), false, later);
  EXPECT_FALSE(later.allowed);
  EXPECT_EQ(later.limit, 100);
  EXPECT_EQ(later.remaining, std::nullopt);
  EXPECT_EQ(later.retry_after, kUntilReset);
  EXPECT_EQ(later.reset_after, kUntilReset);
  EXPECT_EQ(later.source, Source::kLocal);
  EXPECT_FALSE(later.failure);
  Decision never;
  kPipelined.deny_locally(request(101), true, never);
  EXPECT_EQ(never.retry_after, std::nullopt);
}

TEST(FallBack, SaysWhatThePolicyDecidedAndWhy) {
  for (const bool allowed : {false, true}) {
    const Decision decision = kPipelined.fall_back(request(10), allowed, Errc::kTimeout);
    EXPECT_EQ(decision.allowed, allowed);
    EXPECT_EQ(decision.limit, 100);
    EXPECT_EQ(decision.remaining, std::nullopt);
    EXPECT_EQ(decision.retry_after, std::nullopt);
    EXPECT_EQ(decision.reset_after, kUntilReset);
    EXPECT_EQ(decision.source, Source::kFallback);
    EXPECT_EQ(decision.failure, Errc::kTimeout);
  }
}

std::optional<std::string> mended(const CommandBatch& charge, const BatchResult& result, PolicyAnswer given) {
  const CommandBatch mending = FixedWindow::mend_late_charges(charge, result, given);
  return mending.empty() ? std::nullopt : std::optional{PrintToString(mending)};
}

TEST(LateCharge, ThatWasMadeIsGivenBackWhenItsCallWasDenied) {
  const std::string undo = "[EVALSHA adjust \"p:user_42:29012345\" -10 0]";
  EXPECT_EQ(mended(charge_of(kPipelined, request(10)), replies({integer(10), integer(1)}), PolicyAnswer::kDenied),
            undo);
  EXPECT_EQ(mended(charge_of(kPipelined, request(10)), replies({integer(101), integer(1)}), PolicyAnswer::kDenied),
            undo);
  EXPECT_EQ(mended(charge_of(kPipelined, request(10)), replies({integer(10), error("OOM no")}), PolicyAnswer::kDenied),
            undo);
  EXPECT_EQ(mended(charge_of(kAtomic, request(10)), replies({integer(10)}), PolicyAnswer::kDenied), undo);
}

TEST(LateCharge, ThatWasNotMadeIsNotGivenBack) {
  EXPECT_EQ(mended(charge_of(kPipelined, request(10)), replies({error("OOM no"), integer(0)}), PolicyAnswer::kDenied),
            std::nullopt);
  EXPECT_EQ(mended(charge_of(kAtomic, request(10)), replies({integer(-96)}), PolicyAnswer::kDenied), std::nullopt);
  EXPECT_EQ(mended(charge_of(kAtomic, request(10)), replies({error("OOM no")}), PolicyAnswer::kDenied), std::nullopt);
  BatchResult reused = replies({integer(10), integer(1)});
  reused.replies.clear();  // whose room still holds what was there
  EXPECT_EQ(mended(charge_of(kPipelined, request(10)), reused, PolicyAnswer::kDenied), std::nullopt);
  EXPECT_EQ(mended(charge_of(kAtomic, request(10)), replies({}), PolicyAnswer::kDenied), std::nullopt);
}

TEST(LateCharge, StandsWhenItsCallWasAllowed) {
  EXPECT_EQ(mended(charge_of(kPipelined, request(10)), replies({integer(10), integer(1)}), PolicyAnswer::kAllowed),
            std::nullopt);
  EXPECT_EQ(mended(charge_of(kAtomic, request(10)), replies({integer(10)}), PolicyAnswer::kAllowed), std::nullopt);
}

TEST(LateCharge, WithAnOperationIdStandsForTheRepetitionThatMayCome) {
  EXPECT_EQ(mended(charge_of(kAtomic, request(10, "op-1")), replies({array({integer(10), integer(kMinute)})}),
                   PolicyAnswer::kDenied),
            std::nullopt);
}

TEST(LateCharge, WhoseReplyIsLostGetsItsExpiryAgainWhateverItsCallWasAnswered) {
  for (const PolicyAnswer given : {PolicyAnswer::kAllowed, PolicyAnswer::kDenied}) {
    const BatchResult lost = testing::failure(Errc::kConnectionLost, true);
    EXPECT_EQ(mended(charge_of(kPipelined, request(10)), lost, given), "[EXPIRE \"p:user_42:29012345\" 60]");
    EXPECT_EQ(mended(charge_of(kAtomic, request(10)), lost, given), std::nullopt);
    EXPECT_EQ(mended(charge_of(kPipelined, request(10)), testing::failure(Errc::kTimeout, false), given), std::nullopt);
  }
}

TEST(LateCharge, OfManyIsMendedEachForItself) {
  CommandBatch batch;
  kPipelined.charge({"a", 10, kNow}, batch);
  kPipelined.look({"b", 20, kNow}, batch);
  kPipelined.charge({"c", 30, kNow}, batch);
  kPipelined.charge({"d", 40, kNow}, batch);
  const BatchResult answers =
      replies({integer(10), integer(1), bulk("1"), error("OOM no"), integer(0), integer(140), integer(1)});
  EXPECT_EQ(mended(batch, answers, PolicyAnswer::kDenied),
            "[EVALSHA adjust \"p:a:29012345\" -10 0, EVALSHA adjust \"p:d:29012345\" -40 0]");
  EXPECT_EQ(mended(batch, answers, PolicyAnswer::kAllowed), std::nullopt);
  EXPECT_EQ(mended(batch, testing::failure(Errc::kConnectionLost, true), PolicyAnswer::kDenied),
            "[EXPIRE \"p:a:29012345\" 60, EXPIRE \"p:c:29012345\" 60, EXPIRE \"p:d:29012345\" 60]");
}

TEST(FixedWindow, TellsWhatItWasMadeWith) {
  EXPECT_EQ(kAtomic.limit(), 100);
  EXPECT_EQ(kAtomic.key_prefix(), "p");
  EXPECT_EQ(kAtomic.admission(), Admission::kAtomic);
  EXPECT_EQ(kAtomic.counter_key("a:b", {-1}).view(), "p:a:b:-1");
}

}  // namespace
}  // namespace tollgate::decisions
