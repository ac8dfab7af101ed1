// Peeks, adjustments and late charges of a fixed window, and decisions without Redis.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"
#include "unit/decisions/fixed_window_test.hpp"
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

TEST(Look, IsAGetOfTheCounter) {
  for (const FixedWindow* window : {&kPipelined, &kAtomic}) {
    EXPECT_EQ(PrintToString(look_of(*window, request(10, "op-1"))), "[GET \"p:user_42:29012345\"]");
  }
}

TEST(Look, AllowsWhatFitsExactly) {
  const Answer fits = kPipelined.read_peek(request(10), replies({bulk("90")}));
  EXPECT_TRUE(fits.decision.allowed);
  EXPECT_EQ(fits.decision.remaining, 10);
  EXPECT_EQ(fits.decision.retry_after, std::nullopt);
  const Answer one_over = kPipelined.read_peek(request(11), replies({bulk("90")}));
  EXPECT_FALSE(one_over.decision.allowed);
  EXPECT_EQ(one_over.decision.remaining, 10);
  EXPECT_EQ(one_over.decision.retry_after, kUntilReset);
  EXPECT_FALSE(one_over.must_undo);
}

TEST(Look, ShowsTheWholeBudgetOfAUserWithoutCounter) {
  const Answer answer = kPipelined.read_peek(request(0), replies({nil()}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 100);
  EXPECT_EQ(answer.used, 0);
}

TEST(Look, IgnoresTokensThatItsOwnBatchWillUndo) {
  EXPECT_EQ(kPipelined.read_peek(request(0), replies({bulk("120")}), 50).used, 70);
  EXPECT_EQ(kPipelined.read_peek(request(0), replies({bulk("20")}), 50).used, 0);
  EXPECT_EQ(kPipelined.read_peek(request(0), replies({bulk("-9223372036854775808")}), 50).used, 0);
}

TEST(Look, WithZeroTokensIsDeniedOnlyAboveTheLimit) {
  EXPECT_TRUE(kPipelined.read_peek(request(0), replies({bulk("100")})).decision.allowed);
  const Answer above = kPipelined.read_peek(request(0), replies({bulk("101")}));
  EXPECT_FALSE(above.decision.allowed);
  EXPECT_EQ(above.decision.remaining, 0);
  EXPECT_EQ(above.decision.retry_after, kUntilReset);
}

TEST(Look, ReadsANegativeCounterAsZero) {
  const Answer answer = kPipelined.read_peek(request(100), replies({bulk("-50")}));
  EXPECT_TRUE(answer.decision.allowed);
  EXPECT_EQ(answer.decision.remaining, 100);
  EXPECT_EQ(answer.used, 0);
  EXPECT_FALSE(kPipelined.read_peek(request(101), replies({bulk("-9223372036854775808")})).decision.allowed);
}

TEST(Look, IsExactAtTheLargestLimit) {
  EXPECT_TRUE(kLargest.read_peek(request(1), replies({bulk("9007199254740990")})).decision.allowed);
  EXPECT_FALSE(kLargest.read_peek(request(2), replies({bulk("9007199254740990")})).decision.allowed);
  EXPECT_FALSE(kLargest.read_peek(request(0), replies({bulk("9223372036854775807")})).decision.allowed);
}

TEST(Look, FailsOnAValueThatIsNotACounterAndKeepsItsTextApart) {
  const Answer answer = kPipelined.read_peek(request(0), replies({bulk("user data")}));
  expect_failed(answer, Errc::kWrongType, false);
  EXPECT_EQ(answer.failure.server_text, "user data");
  EXPECT_EQ(answer.failure.detail, "the reply to GET is not a counter");
  expect_failed(kPipelined.read_peek(request(0), replies({error("WRONGTYPE no")})), Errc::kWrongType, false);
}

TEST(Look, FailsWhenTheReplyIsMissing) {
  expect_failed(kPipelined.read_peek(request(0), replies({})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_peek(request(0), replies({nil(), nil()})), Errc::kProtocol, false);
  expect_failed(kPipelined.read_peek(request(0), testing::failure(Errc::kTimeout)), Errc::kTimeout, false);
}

TEST(Adjust, SetsAnExpiryThatIsMissingWhenItGivesBack) {
  EXPECT_EQ(PrintToString(adjustment_of(kPipelined, -30, true)), "[EVALSHA adjust \"p:user_42:29012345\" -30 60]");
}

TEST(Adjust, MayMakeACounterOnlyInAWindowThatHasNotEnded) {
  EXPECT_EQ(PrintToString(adjustment_of(kPipelined, 30, true)), "[EVALSHA adjust \"p:user_42:29012345\" 30 60]");
  EXPECT_EQ(PrintToString(adjustment_of(kPipelined, 30, false)), "[EVALSHA adjust \"p:user_42:29012345\" 30 0]");
}

TEST(Adjust, IsRecordedUnderItsIdApartFromChargesWithThatId) {
  EXPECT_EQ(PrintToString(adjustment_of(kAtomic, -30, true, "op-1")),
            "[EVALSHA adjust \"p:user_42:29012345\" \"p:user_42:adjust:op-1:4:\" -30 60 120]");
}

TEST(Adjust, ReturnsTheNewCounter) {
  const Answer answer = kPipelined.read_adjust(request(30), replies({integer(130)}));
  EXPECT_FALSE(answer.failure.code);
  EXPECT_EQ(answer.used, 130);
  EXPECT_EQ(answer.window.number, kMinute);
  EXPECT_FALSE(answer.must_undo);
}

TEST(Adjust, SucceedsWhenThereIsNoCounterOrItWasExecutedBefore) {
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

TEST(DenyLocally, ReturnsRetryAfterUnlessWaitingNeverHelps) {
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

TEST(FallBack, ReturnsThePolicysDecisionAndTheFailure) {
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

std::optional<std::string> corrected(const CommandBatch& charge, const BatchResult& result, PolicyAnswer given) {
  const CommandBatch correction = FixedWindow::correct_late_charges(charge, result, given);
  return correction.empty() ? std::nullopt : std::optional{PrintToString(correction)};
}

TEST(LateCharge, ThatWasMadeIsGivenBackWhenItsCallWasDenied) {
  const std::string undo = "[EVALSHA adjust \"p:user_42:29012345\" -10 60]";
  EXPECT_EQ(corrected(charge_of(kPipelined, request(10)), replies({integer(10), integer(1)}), PolicyAnswer::kDenied),
            undo);
  EXPECT_EQ(corrected(charge_of(kPipelined, request(10)), replies({integer(101), integer(1)}), PolicyAnswer::kDenied),
            undo);
  EXPECT_EQ(
      corrected(charge_of(kPipelined, request(10)), replies({integer(10), error("OOM no")}), PolicyAnswer::kDenied),
      undo);
  EXPECT_EQ(corrected(charge_of(kAtomic, request(10)), replies({integer(10)}), PolicyAnswer::kDenied), undo);
}

TEST(LateCharge, ThatWasNotMadeIsNotGivenBack) {
  EXPECT_EQ(
      corrected(charge_of(kPipelined, request(10)), replies({error("OOM no"), integer(0)}), PolicyAnswer::kDenied),
      std::nullopt);
  EXPECT_EQ(corrected(charge_of(kAtomic, request(10)), replies({integer(-96)}), PolicyAnswer::kDenied), std::nullopt);
  EXPECT_EQ(corrected(charge_of(kAtomic, request(10)), replies({error("OOM no")}), PolicyAnswer::kDenied),
            std::nullopt);
  BatchResult reused = replies({integer(10), integer(1)});
  reused.replies.clear();  // its capacity still holds the old replies
  EXPECT_EQ(corrected(charge_of(kPipelined, request(10)), reused, PolicyAnswer::kDenied), std::nullopt);
  EXPECT_EQ(corrected(charge_of(kAtomic, request(10)), replies({}), PolicyAnswer::kDenied), std::nullopt);
}

TEST(LateCharge, StaysWhenItsCallWasAllowed) {
  EXPECT_EQ(corrected(charge_of(kPipelined, request(10)), replies({integer(10), integer(1)}), PolicyAnswer::kAllowed),
            std::nullopt);
  EXPECT_EQ(corrected(charge_of(kAtomic, request(10)), replies({integer(10)}), PolicyAnswer::kAllowed), std::nullopt);
}

TEST(LateCharge, WithAnOperationIdStaysForARepetition) {
  EXPECT_EQ(corrected(charge_of(kAtomic, request(10, "op-1")), replies({array({integer(10), integer(kMinute)})}),
                      PolicyAnswer::kDenied),
            std::nullopt);
}

TEST(LateCharge, WhoseReplyIsLostGetsItsExpiryAgainUnderEveryPolicy) {
  for (const PolicyAnswer given : {PolicyAnswer::kAllowed, PolicyAnswer::kDenied}) {
    const BatchResult lost = testing::failure(Errc::kConnectionLost, true);
    EXPECT_EQ(corrected(charge_of(kPipelined, request(10)), lost, given), "[EXPIRE \"p:user_42:29012345\" 60]");
    EXPECT_EQ(corrected(charge_of(kAtomic, request(10)), lost, given), std::nullopt);
    EXPECT_EQ(corrected(charge_of(kPipelined, request(10)), testing::failure(Errc::kTimeout, false), given),
              std::nullopt);
  }
}

TEST(LateCharge, OfManyIsCorrectedIndependently) {
  CommandBatch batch;
  kPipelined.charge({"a", 10, kNow}, batch);
  kPipelined.peek({"b", 20, kNow}, batch);
  kPipelined.charge({"c", 30, kNow}, batch);
  kPipelined.charge({"d", 40, kNow}, batch);
  const BatchResult answers =
      replies({integer(10), integer(1), bulk("1"), error("OOM no"), integer(0), integer(140), integer(1)});
  EXPECT_EQ(corrected(batch, answers, PolicyAnswer::kDenied),
            "[EVALSHA adjust \"p:a:29012345\" -10 60, EVALSHA adjust \"p:d:29012345\" -40 60]");
  EXPECT_EQ(corrected(batch, answers, PolicyAnswer::kAllowed), std::nullopt);
  EXPECT_EQ(corrected(batch, testing::failure(Errc::kConnectionLost, true), PolicyAnswer::kDenied),
            "[EXPIRE \"p:a:29012345\" 60, EXPIRE \"p:c:29012345\" 60, EXPIRE \"p:d:29012345\" 60]");
}

TEST(FixedWindow, ReturnsItsParameters) {
  EXPECT_EQ(kAtomic.limit(), 100);
  EXPECT_EQ(kAtomic.key_prefix(), "p");
  EXPECT_EQ(kAtomic.admission(), Admission::kAtomic);
  EXPECT_EQ(kAtomic.counter_key("a:b", {-1}).view(), "p:a:b:-1");
}

}  // namespace
}  // namespace tollgate::decisions
