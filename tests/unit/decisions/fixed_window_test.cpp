// Charges of a fixed window: their commands, and what the replies mean.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"
#include "unit/decisions/fixed_window_test.hpp"

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

TEST(PipelinedCharge, ShowsACounterAboveTheLimitAsZeroRemaining) {
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

TEST(PipelinedCharge, IsDecidedWithoutTokensThatItsOwnBatchWillUndo) {
  const Answer fits = kPipelined.read_charge(request(10), replies({integer(150), integer(1)}), 50);
  EXPECT_TRUE(fits.decision.allowed);
  EXPECT_EQ(fits.used, 100);
  EXPECT_EQ(fits.decision.remaining, 0);
  const Answer one_over = kPipelined.read_charge(request(10), replies({integer(151), integer(1)}), 50);
  EXPECT_FALSE(one_over.decision.allowed);
  EXPECT_TRUE(one_over.must_undo);
  EXPECT_EQ(one_over.used, 91);
}

TEST(PipelinedCharge, IsNotMadeNegativeByTokensThatItsOwnBatchWillUndo) {
  for (const std::int64_t counter : {kInt64Min, std::int64_t{-1}, std::int64_t{49}}) {
    const Answer answer = kPipelined.read_charge(request(10), replies({integer(counter), integer(1)}), 50);
    EXPECT_TRUE(answer.decision.allowed);
    EXPECT_EQ(answer.used, 0);
  }
}

TEST(PipelinedCharge, ReadsItsOwnRepliesAmongThoseOfMany) {
  const BatchResult many =
      replies({integer(7), bulk("90"), integer(101), integer(1), error("WRONGTYPE no"), integer(0)});
  EXPECT_EQ(kPipelined.read_peek(request(10), {many, 1, 1}).decision.remaining, 10);
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

TEST(AtomicCharge, ReturnsTheStateOfAnAbsentCounterAndOfOneAboveTheLimit) {
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

TEST(AtomicCharge, ReturnsTheWindowOfTheFirstReplyWhenRepeated) {
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

}  // namespace
}  // namespace tollgate::decisions
