// The order of exchanges on one connection, without a connection.

#include "transport/exchange_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/resp_encoder.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using Handle = ExchangeQueue::Handle;
using GivenUp = ExchangeQueue::GivenUp;
using Stage = Exchange::Stage;

constexpr Serial kSerial = 65'534;  // wraps around within a batch of three

/// The reply of a script that is command number `place` of an exchange.
Reply answered(const std::string& numbers, std::size_t place = 0, Serial serial = kSerial) {
  return Reply::string(numbers + ' ' + std::to_string(serial_of(serial, place)));
}

class ExchangeQueueTest : public ::testing::Test {
 protected:
  static std::string bytes_of(const CommandBatch& batch) {
    std::string bytes;
    append_resp(bytes, batch, kSerial);
    return bytes;
  }
  Handle add_call() { return queue_.add_call(get_, kSerial, bytes_of(get_), nullptr).value(); }
  Handle add_post() {
    CommandBatch batch = get_;
    std::shared_ptr<ReplyHandler> handler;
    return queue_.add_post(batch, kSerial, bytes_of(get_), handler).value();
  }
  std::string taken() {
    std::string out;
    queue_.take_pending({}, out, finished_);
    return out;
  }
  /// The exchanges that have ended since the last call, oldest first.
  std::vector<Handle> ended() {
    std::vector<Handle> handles;
    while (!finished_.empty()) handles.push_back(finished_.pop_front().self);
    return handles;
  }
  [[nodiscard]] bool deliver(Reply reply) {
    return queue_.deliver(std::move(reply), finished_) == ExchangeQueue::Delivery::kTaken;
  }

  ExchangeQueue queue_;
  FinishedExchanges finished_;
  CommandBatch get_ = [] {
    CommandBatch batch;
    batch.get("k");
    return batch;
  }();
  CommandBatch charge_ = [] {
    CommandBatch batch;
    batch.incr_by("k", 1);
    batch.expire("k", std::chrono::seconds{60});
    return batch;
  }();
  CommandBatch script_ = [] {
    CommandBatch batch;
    batch.run(kAdjustScript, "k", {-1, 0});
    return batch;
  }();
};

TEST_F(ExchangeQueueTest, FindsTheKeysOfAbandonedCalls) {
  const Handle waited_for = queue_.add_call(charge_, kSerial, bytes_of(charge_), nullptr).value();
  taken();
  EXPECT_FALSE(queue_.has_abandoned("k"));
  EXPECT_EQ(queue_.give_up(waited_for), GivenUp::kAbandoned);
  EXPECT_TRUE(queue_.has_abandoned("k"));
  EXPECT_FALSE(queue_.has_abandoned("another"));
  EXPECT_TRUE(deliver(Reply::integer(7)));
  EXPECT_TRUE(queue_.has_abandoned("k"));
  EXPECT_TRUE(deliver(Reply::integer(1)));
  EXPECT_FALSE(queue_.has_abandoned("k"));
}

TEST_F(ExchangeQueueTest, FindsTheKeysOfPosts) {
  EXPECT_FALSE(queue_.has_post("k"));
  add_post();
  EXPECT_TRUE(queue_.has_post("k"));
  EXPECT_FALSE(queue_.has_abandoned("k"));
  EXPECT_FALSE(queue_.has_post("another"));
  taken();
  EXPECT_TRUE(queue_.has_post("k"));
  EXPECT_TRUE(deliver(Reply::string("1")));
  EXPECT_FALSE(queue_.has_post("k"));
}

TEST_F(ExchangeQueueTest, ACallThatIsWithdrawnUnsentIsNotAbandoned) {
  EXPECT_EQ(queue_.give_up(add_call()), GivenUp::kWithdrawn);
  EXPECT_FALSE(queue_.has_abandoned("k"));
}

TEST_F(ExchangeQueueTest, NotesWhenAndAtWhichPositionEachWasSent) {
  const std::chrono::steady_clock::time_point now{std::chrono::hours{1}};
  const Handle first = add_call();
  const Handle second = add_call();
  std::string out;
  queue_.take_pending(now, out, finished_);
  const Handle third = add_call();
  queue_.take_pending(now + std::chrono::seconds{1}, out, finished_);
  EXPECT_EQ(first->place, 1U);
  EXPECT_EQ(second->place, 2U);
  EXPECT_EQ(third->place, 3U);
  EXPECT_EQ(second->sent_at, now);
  EXPECT_EQ(third->sent_at, now + std::chrono::seconds{1});
}

TEST_F(ExchangeQueueTest, RepliesGoToExchangesInTheOrderOfTheirBytes) {
  const Handle first = queue_.add_call(charge_, kSerial, bytes_of(charge_), nullptr).value();
  const Handle second = add_call();
  EXPECT_EQ(taken(), bytes_of(charge_) + bytes_of(get_));
  EXPECT_EQ(queue_.in_flight(), 2U);
  EXPECT_TRUE(deliver(Reply::integer(7)));
  EXPECT_FALSE(first->done());
  EXPECT_TRUE(deliver(Reply::integer(1)));
  EXPECT_TRUE(first->done());
  EXPECT_EQ(first->result.replies[0], Reply::integer(7));
  EXPECT_FALSE(second->done());
  EXPECT_TRUE(deliver(Reply{}));
  EXPECT_TRUE(second->done());
  EXPECT_THAT(ended(), ::testing::ElementsAre(first, second));
}

TEST_F(ExchangeQueueTest, AReplyWithNothingInFlightIsOutOfStep) {
  EXPECT_FALSE(deliver(Reply::integer(1)));
  const Handle pending = add_call();
  EXPECT_FALSE(deliver(Reply::integer(1)));  // none of its bytes were sent
  EXPECT_FALSE(pending->done());
}

TEST_F(ExchangeQueueTest, AReplyThatDoesNotFitIsOutOfStepAndCompletesNothing) {
  const Handle charge = queue_.add_call(charge_, kSerial, bytes_of(charge_), nullptr).value();
  const Handle next = queue_.add_call(charge_, kSerial, bytes_of(charge_), nullptr).value();
  taken();
  EXPECT_TRUE(deliver(Reply::integer(1)));       // of EXPIRE: the counter before it is lost
  EXPECT_FALSE(deliver(Reply::integer(9'000)));  // the next caller's counter
  EXPECT_FALSE(charge->done());
  queue_.fail_in_flight({Errc::kProtocol, true}, finished_);
  EXPECT_THAT(ended(), ::testing::ElementsAre(charge, next));
  EXPECT_TRUE(charge->result.replies.empty());
  EXPECT_TRUE(charge->result.failure.may_have_executed);
}

TEST_F(ExchangeQueueTest, AScriptIsAnsweredByItsOwnSerialNumberAlone) {
  const Handle first = queue_.add_call(script_, 7, "", nullptr).value();
  const Handle second = queue_.add_call(script_, 8, "", nullptr).value();
  taken();
  EXPECT_TRUE(deliver(answered("10", 0, 7)));
  EXPECT_EQ(first->result.replies[0], Reply::integer(10));
  EXPECT_FALSE(deliver(answered("10", 0, 7)));  // twice
  EXPECT_FALSE(second->done());
}

TEST_F(ExchangeQueueTest, EachScriptOfABatchHasASerialNumberOfItsOwn) {
  CommandBatch scripts;
  scripts.run(kAdjustScript, "k", {-1, 0});
  scripts.run(kAdjustScript, "k", {-2, 0});
  const Serial serial = queue_.take_serial(scripts);
  EXPECT_EQ(queue_.take_serial(get_), serial_of(serial, 2));
  const Handle exchange = queue_.add_call(scripts, kSerial, bytes_of(scripts), nullptr).value();
  EXPECT_THAT(taken(), ::testing::AllOf(::testing::HasSubstr("$5\r\n65534\r\n*"), ::testing::EndsWith("65535\r\n")));
  EXPECT_TRUE(deliver(answered("10", 0)));
  EXPECT_FALSE(deliver(answered("10", 0)));  // twice
  EXPECT_FALSE(exchange->done());
}

TEST_F(ExchangeQueueTest, APendingExchangeIsWithdrawnCompletely) {
  const Handle first = add_call();
  add_call();
  EXPECT_EQ(queue_.give_up(first), GivenUp::kWithdrawn);
  EXPECT_EQ(taken(), bytes_of(get_));
}

TEST_F(ExchangeQueueTest, AnAbandonedExchangeKeepsItsPlace) {
  const Handle abandoned = queue_.add_call(charge_, kSerial, bytes_of(charge_), nullptr).value();
  const Handle next = add_call();
  taken();
  EXPECT_EQ(queue_.give_up(abandoned), GivenUp::kAbandoned);
  EXPECT_EQ(queue_.detached(), 1U);
  EXPECT_NE(abandoned->batch, &charge_);  // the caller's batch may have been destroyed
  EXPECT_EQ((*abandoned->batch)[0].key, "k");
  EXPECT_EQ(queue_.oldest_awaited(), next);
  EXPECT_TRUE(deliver(Reply::integer(1)));
  EXPECT_TRUE(deliver(Reply::integer(1)));
  EXPECT_EQ(queue_.detached(), 0U);
  EXPECT_TRUE(deliver(Reply::string("5")));
  EXPECT_EQ(next->result.replies[0], Reply::string("5"));
}

TEST_F(ExchangeQueueTest, UnsentExchangesBecomePendingAgainInOrder) {
  const Handle first = add_call();
  const Handle second = add_call();
  const Handle third = add_call();
  const std::string all = taken();
  const std::size_t one = all.size() / 3;
  EXPECT_EQ(queue_.put_back(all.size() - one - 4, finished_), one - 4);  // the second left in part
  EXPECT_EQ(first->stage, Stage::kInFlight);
  EXPECT_EQ(second->stage, Stage::kInFlight);
  EXPECT_EQ(third->stage, Stage::kPending);
  const Handle fourth = add_call();
  EXPECT_EQ(taken().size(), 2 * one);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(deliver(Reply{}));
  EXPECT_THAT(ended(), ::testing::ElementsAre(first, second, third, fourth));
}

TEST_F(ExchangeQueueTest, PuttingBackNothingOrEverything) {
  const Handle only = add_call();
  const std::string all = taken();
  EXPECT_EQ(queue_.put_back(0, finished_), 0U);
  EXPECT_EQ(only->stage, Stage::kInFlight);
  EXPECT_EQ(queue_.put_back(all.size(), finished_), 0U);
  EXPECT_EQ(only->stage, Stage::kPending);
  EXPECT_EQ(queue_.give_up(only), GivenUp::kWithdrawn);
}

TEST_F(ExchangeQueueTest, AnUnsentExchangeThatWasAbandonedMeanwhileIsWithdrawn) {
  const Handle exchange = add_call();
  const std::string all = taken();
  EXPECT_EQ(queue_.give_up(exchange), GivenUp::kAbandoned);
  EXPECT_EQ(queue_.put_back(all.size(), finished_), 0U);
  EXPECT_THAT(ended(), ::testing::ElementsAre(exchange));
  EXPECT_EQ(exchange->result.failure.code, Errc::kTimeout);
  EXPECT_FALSE(exchange->result.failure.may_have_executed);
  EXPECT_FALSE(queue_.has_pending());
}

TEST_F(ExchangeQueueTest, AnUnknownScriptIsSentOnceMoreAsAWhole) {
  const Handle exchange = queue_.add_call(script_, kSerial, bytes_of(script_), nullptr).value();
  EXPECT_THAT(taken(), ::testing::HasSubstr("EVALSHA"));
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT No matching script.")));
  EXPECT_FALSE(exchange->done());
  const std::string again = taken();
  EXPECT_THAT(again, ::testing::HasSubstr("EVAL\r\n"));
  EXPECT_THAT(again, ::testing::HasSubstr(std::string{kAdjustScript.source}));
  EXPECT_THAT(again, ::testing::EndsWith("\r\n" + std::to_string(kSerial) + "\r\n"));
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT still not")));
  EXPECT_TRUE(exchange->done());  // an answer, not a loop
}

TEST_F(ExchangeQueueTest, NoscriptToAnotherCommandIsOutOfStepAndSendsNothingAgain) {
  const Handle charge = queue_.add_call(charge_, kSerial, bytes_of(charge_), nullptr).value();
  taken();
  EXPECT_FALSE(deliver(Reply::error("NOSCRIPT No matching script.")));
  EXPECT_FALSE(charge->done());
  EXPECT_FALSE(queue_.has_pending());
}

TEST_F(ExchangeQueueTest, OnlyTheUnknownScriptsOfABatchAreSentAgain) {
  CommandBatch mixed;
  mixed.incr_by("k", 1);
  mixed.run(kAdjustScript, "k", {-1, 0});
  mixed.get("k");
  const Handle exchange = queue_.add_call(mixed, kSerial, bytes_of(mixed), nullptr).value();
  taken();
  EXPECT_TRUE(deliver(Reply::integer(1)));
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT")));
  EXPECT_TRUE(deliver(Reply::string("1")));
  EXPECT_THAT(taken(), ::testing::Not(::testing::HasSubstr("INCRBY\r\n$1\r\nk\r\n$1\r\n1\r\n*")));
  EXPECT_TRUE(deliver(answered("0", 1)));
  ASSERT_TRUE(exchange->done());
  EXPECT_EQ(exchange->result.replies[0], Reply::integer(1));
  EXPECT_EQ(exchange->result.replies[1], Reply::integer(0));
  EXPECT_EQ(exchange->result.replies[2], Reply::string("1"));
}

TEST_F(ExchangeQueueTest, APartlyAnsweredBatchThatCannotBeSentAgainIsInDoubt) {
  CommandBatch mixed;
  mixed.incr_by("k", 1);
  mixed.run(kAdjustScript, "k", {-1, 0});
  const Handle exchange = queue_.add_call(mixed, kSerial, bytes_of(mixed), nullptr).value();
  const Handle unknown = queue_.add_call(script_, kSerial, bytes_of(script_), nullptr).value();
  taken();
  EXPECT_TRUE(deliver(Reply::integer(1)));  // INCRBY was executed
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT")));
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT")));
  queue_.fail_pending_calls({Errc::kConnectFailed, false}, finished_);
  ASSERT_THAT(ended(), ::testing::ElementsAre(exchange, unknown));
  EXPECT_TRUE(exchange->result.failure.may_have_executed);
  EXPECT_FALSE(unknown->result.failure.may_have_executed);
}

TEST_F(ExchangeQueueTest, AnUnsentRetryIsWithdrawnUnlessACommandWasExecuted) {
  CommandBatch mixed;
  mixed.incr_by("k", 1);
  mixed.run(kAdjustScript, "k", {-1, 0});
  const Handle half = queue_.add_call(mixed, kSerial, bytes_of(mixed), nullptr).value();
  const Handle nothing = queue_.add_call(script_, kSerial, bytes_of(script_), nullptr).value();
  taken();
  EXPECT_TRUE(deliver(Reply::integer(1)));
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT")));
  EXPECT_TRUE(deliver(Reply::error("NOSCRIPT")));
  EXPECT_EQ(queue_.give_up(nothing), GivenUp::kWithdrawn);
  EXPECT_EQ(queue_.give_up(half), GivenUp::kAbandoned);
  EXPECT_THAT(taken(), ::testing::StartsWith("*7\r\n$4\r\nEVAL\r\n"));
  EXPECT_TRUE(deliver(answered("0", 1)));
  EXPECT_THAT(ended(), ::testing::ElementsAre(half));
  EXPECT_EQ(half->result.replies[0], Reply::integer(1));
  EXPECT_EQ(half->result.replies[1], Reply::integer(0));
}

TEST_F(ExchangeQueueTest, AnyOtherErrorReplyIsFinal) {
  const Handle exchange = queue_.add_call(script_, kSerial, bytes_of(script_), nullptr).value();
  taken();
  EXPECT_TRUE(deliver(Reply::error("OOM command not allowed")));
  EXPECT_TRUE(exchange->done());
  EXPECT_TRUE(exchange->result.ok());
}

TEST_F(ExchangeQueueTest, ALostConnectionLeavesSentExchangesInDoubtAndTheRestPending) {
  const Handle sent = add_call();
  taken();
  const Handle unsent = add_call();
  queue_.fail_in_flight({Errc::kConnectionLost, true}, finished_);
  EXPECT_THAT(ended(), ::testing::ElementsAre(sent));
  EXPECT_TRUE(sent->result.failure.may_have_executed);
  EXPECT_EQ(unsent->stage, Stage::kPending);
  EXPECT_EQ(taken(), bytes_of(get_));
}

TEST_F(ExchangeQueueTest, WithoutAConnectionCallsFailAndPostsStay) {
  const Handle call = add_call();
  const Handle post = add_post();
  queue_.fail_pending_calls({Errc::kConnectFailed, false}, finished_);
  EXPECT_THAT(ended(), ::testing::ElementsAre(call));
  EXPECT_EQ(queue_.posted(), 1U);
  queue_.fail_pending_posts({Errc::kConnectionLost, false}, finished_);
  EXPECT_THAT(ended(), ::testing::ElementsAre(post));
  EXPECT_EQ(queue_.posted(), 0U);
}

TEST_F(ExchangeQueueTest, IsBoundedSeparatelyForCallsAndPosts) {
  for (std::size_t i = 0; i < ExchangeQueue::kMaxExchanges; ++i) add_call();
  EXPECT_FALSE(queue_.add_call(get_, kSerial, bytes_of(get_), nullptr).has_value());
  for (std::size_t i = 0; i < ExchangeQueue::kMaxExchanges; ++i) add_post();
  CommandBatch refused = get_;
  std::shared_ptr<ReplyHandler> handler;
  EXPECT_FALSE(queue_.add_post(refused, kSerial, bytes_of(get_), handler).has_value());
  EXPECT_EQ(refused.size(), 1U);  // unchanged, so that its handler can be called
  CommandBatch expiry;
  expiry.expire("k", std::chrono::seconds{60});
  for (std::size_t i = 0; i < ExchangeQueue::kMaxExchanges; ++i) {
    CommandBatch copy = expiry;
    ASSERT_TRUE(queue_.add_post(copy, kSerial, bytes_of(copy), handler).has_value());
  }
  EXPECT_FALSE(queue_.add_post(expiry, kSerial, bytes_of(expiry), handler).has_value());
  taken();
  EXPECT_TRUE(deliver(Reply::string("1")));
  EXPECT_TRUE(queue_.add_call(get_, kSerial, bytes_of(get_), nullptr).has_value());
}

TEST_F(ExchangeQueueTest, KeepsFewOfTheExchangesOfAnOutage) {
  for (std::size_t i = 0; i < ExchangeQueue::kMaxExchanges; ++i) add_post();
  queue_.fail_pending_posts({Errc::kConnectionLost, false}, finished_);
  for (const Handle post : ended()) queue_.release(post);
  EXPECT_EQ(queue_.idle(), ExchangeQueue::kMaxIdlePosts);
  add_post();
  add_call();
  EXPECT_EQ(queue_.idle(), ExchangeQueue::kMaxIdlePosts - 1);
}

TEST_F(ExchangeQueueTest, IsBoundedInBytes) {
  const std::string large(ExchangeQueue::kMaxBytes / 2, 'x');
  const Handle first = queue_.add_call(get_, kSerial, large, nullptr).value();
  ASSERT_TRUE(queue_.add_call(get_, kSerial, large, nullptr).has_value());
  EXPECT_FALSE(queue_.add_call(get_, kSerial, "x", nullptr).has_value());
  EXPECT_EQ(queue_.give_up(first), GivenUp::kWithdrawn);
  EXPECT_TRUE(queue_.add_call(get_, kSerial, "x", nullptr).has_value());
}

TEST_F(ExchangeQueueTest, PostsAreBoundedInBytesAndCommands) {
  CommandBatch batch = get_;
  std::shared_ptr<ReplyHandler> handler;
  const std::string large(ExchangeQueue::kMaxPostedBytes, 'x');
  const Handle first = queue_.add_post(batch, kSerial, large, handler).value();
  EXPECT_FALSE(queue_.add_post(batch = get_, kSerial, "x", handler).has_value());
  taken();
  EXPECT_TRUE(deliver(Reply::string("1")));
  queue_.release(first);
  CommandBatch many;
  for (std::size_t i = 0; i < ExchangeQueue::kMaxPostedCommands; ++i) many.get("k");
  ASSERT_TRUE(queue_.add_post(many, kSerial, "x", handler).has_value());
  EXPECT_FALSE(queue_.add_post(batch = get_, kSerial, "x", handler).has_value());
}

TEST_F(ExchangeQueueTest, PendingPostsMoveToAnotherQueueAndSentOnesStay) {
  const Handle sent = add_post();
  taken();
  add_call();
  const Handle moved = add_post();
  ExchangeQueue other;
  queue_.move_pending_posts_to(other);
  EXPECT_EQ(queue_.posted(), 1U);
  EXPECT_TRUE(queue_.has_post("k"));
  EXPECT_EQ(taken(), bytes_of(get_));  // the call's
  EXPECT_EQ(other.posted(), 1U);
  EXPECT_TRUE(other.has_post("k"));
  std::string out;
  other.take_pending({}, out, finished_);
  EXPECT_EQ(out, bytes_of(get_));
  ASSERT_EQ(other.deliver(Reply::string("1"), finished_), ExchangeQueue::Delivery::kTaken);
  EXPECT_THAT(ended(), ::testing::ElementsAre(moved));
  other.release(moved);
  EXPECT_EQ(other.idle(), 1U);
  EXPECT_EQ(other.posted(), 0U);
  ASSERT_TRUE(deliver(Reply::string("1")));
  EXPECT_THAT(ended(), ::testing::ElementsAre(sent));
}

TEST_F(ExchangeQueueTest, APostMarkedFirstIsSentBeforePendingExchanges) {
  add_call();
  CommandBatch first = charge_;
  std::shared_ptr<ReplyHandler> handler;
  ASSERT_TRUE(queue_.add_post(first, kSerial, bytes_of(charge_), handler, true).has_value());
  EXPECT_EQ(taken(), bytes_of(charge_) + bytes_of(get_));
}

TEST_F(ExchangeQueueTest, ReusesItsExchanges) {
  const Handle first = add_call();
  const Exchange* const place = &*first;
  taken();
  EXPECT_TRUE(deliver(Reply::string("1")));
  queue_.release(first);
  const Handle second = add_call();
  EXPECT_EQ(&*second, place);
  EXPECT_TRUE(second->result.replies.empty());
  EXPECT_FALSE(second->retried);
}

TEST_F(ExchangeQueueTest, TheOldestAwaitedCallIsInFlightBeforePending) {
  EXPECT_EQ(queue_.oldest_awaited(), std::nullopt);
  add_post();
  const Handle sent = add_call();
  taken();
  const Handle unsent = add_call();
  EXPECT_EQ(queue_.oldest_awaited(), sent);
  EXPECT_EQ(queue_.give_up(sent), GivenUp::kAbandoned);
  EXPECT_EQ(queue_.oldest_awaited(), unsent);
}

}  // namespace
}  // namespace tollgate
