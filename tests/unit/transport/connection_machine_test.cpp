// What becomes of calls, posts and scripts on one connection.

#include "unit/transport/connection_machine_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "values/scripts.hpp"

namespace tollgate::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(ConnectionMachineTest, DoesNothingUntilThereIsACall) {
  EXPECT_EQ(machine_.next_action(), Action::kNone);
  call();
  EXPECT_EQ(machine_.next_action(), Action::kConnect);
}

TEST_F(ConnectionMachineTest, ConnectsSendsReceivesAndEndsTheCall) {
  const Handle exchange = call();
  connect();
  EXPECT_EQ(machine_.next_action(), Action::kSend);
  EXPECT_EQ(send(), kGet);
  EXPECT_EQ(machine_.next_action(), Action::kReceive);
  receive({Reply::string("7")});
  EXPECT_THAT(ended(), ElementsAre(exchange));
  EXPECT_EQ(exchange->result.replies[0], Reply::string("7"));
  machine_.release(exchange);
  EXPECT_EQ(machine_.next_action(), Action::kReceive);  // the end of the connection may come
}

TEST_F(ConnectionMachineTest, SendsOneBatchOfBytesAtATime) {
  call();
  connect();
  std::string out;
  machine_.begin_sending(now_, out, finished_);
  call();
  EXPECT_FALSE(machine_.can_send());
  EXPECT_EQ(machine_.next_action(), Action::kReceive);
  EXPECT_EQ(machine_.sent(0, false, finished_), 0U);
  EXPECT_EQ(machine_.next_action(), Action::kSend);
}

TEST_F(ConnectionMachineTest, ACallThatMayHaveBeenExecutedIsNotSentAgain) {
  const Handle in_flight = call();
  connect();
  send();
  const Handle unsent = call();
  receive_end();
  EXPECT_THAT(ended(), ElementsAre(in_flight));
  EXPECT_TRUE(in_flight->result.failure.may_have_executed);
  EXPECT_EQ(driver_.log(), "closed: Redis closed it\n");
  machine_.release(in_flight);
  connect();
  EXPECT_EQ(send(), kGet);  // the other one alone
  receive({Reply::string("7")});
  EXPECT_THAT(ended(), ElementsAre(unsent));
}

TEST_F(ConnectionMachineTest, ACallSentInPartIsInDoubtWhenTheConnectionEnds) {
  const Handle in_part = call();
  const Handle unsent = call();
  connect();
  const std::string whole = kGet;
  EXPECT_EQ(send(whole.size() + 1), whole.substr(0, whole.size() - 1));
  EXPECT_EQ(outgoing_, "\n");
  receive_end();
  EXPECT_THAT(ended(), ElementsAre(in_part));
  EXPECT_TRUE(in_part->result.failure.may_have_executed);
  outgoing_.clear();
  connect();
  EXPECT_EQ(send(), kGet);
  receive({Reply::string("7")});
  EXPECT_THAT(ended(), ElementsAre(unsent));
}

TEST_F(ConnectionMachineTest, TheRestOfACallSentInPartIsSentFirst) {
  call();
  connect();
  EXPECT_EQ(send(4), std::string(kGet).substr(0, std::string(kGet).size() - 4));
  call();
  EXPECT_EQ(send(), "\nk\r\n" + std::string(kGet));
}

TEST_F(ConnectionMachineTest, DoesNotSendAgainBeforeTheConnectionIsWritable) {
  call();
  connect();
  send(1);
  EXPECT_TRUE(machine_.can_send());
  EXPECT_EQ(machine_.next_action(), Action::kReceive);
  machine_.writable();
  EXPECT_EQ(machine_.next_action(), Action::kSend);
  EXPECT_EQ(send(), "\n");
  EXPECT_EQ(machine_.next_action(), Action::kReceive);
}

TEST_F(ConnectionMachineTest, RepliesToAbandonedCallsKeepLaterOnesInStep) {
  const Handle abandoned = call();
  connect();
  send();
  now_ += kCommandTimeout;
  EXPECT_EQ(time_out(abandoned), GivenUp::kAbandoned);
  const Handle next = call();
  send();
  receive({Reply::string("late")});
  EXPECT_THAT(ended(), ElementsAre(abandoned));
  EXPECT_FALSE(next->done());
  receive({Reply::string("own")});
  EXPECT_THAT(ended(), ElementsAre(next));
  EXPECT_EQ(next->result.replies[0], Reply::string("own"));
}

TEST_F(ConnectionMachineTest, AReplyThatAnswersNoRequestEndsTheConnection) {
  const Handle exchange = call();
  connect();
  send();
  receive({Reply::integer(1)});  // GET is never answered so
  EXPECT_THAT(ended(), ElementsAre(exchange));
  EXPECT_EQ(exchange->result.failure.code, Errc::kProtocol);
  EXPECT_TRUE(exchange->result.failure.may_have_executed);
  EXPECT_FALSE(machine_.is_connected());
}

TEST_F(ConnectionMachineTest, AnUnsentCallIsWithdrawnAndCertainNotToHaveExecuted) {
  const Handle unsent = call();
  Failure failure{Errc::kTimeout};
  EXPECT_EQ(machine_.time_out(unsent, now_, failure, finished_), GivenUp::kWithdrawn);
  EXPECT_FALSE(failure.may_have_executed);
  connect();
  EXPECT_FALSE(machine_.can_send());
}

TEST_F(ConnectionMachineTest, ACancelledCallIsWithdrawnOrAbandonedAndCountsAsNoFailure) {
  const Handle sent = call();
  connect();
  send();
  EXPECT_EQ(machine_.cancel(call(), finished_), GivenUp::kWithdrawn);
  EXPECT_FALSE(machine_.can_send());
  now_ += 10 * kCommandTimeout;
  EXPECT_EQ(machine_.cancel(sent, finished_), GivenUp::kAbandoned);
  for (int i = 1; i < 10; ++i) {
    const Handle exchange = call();
    send();
    EXPECT_EQ(machine_.cancel(exchange, finished_), GivenUp::kAbandoned);
  }
  EXPECT_FALSE(machine_.circuit_is_open());
  EXPECT_FALSE(machine_.has_timed_out());
}

TEST_F(ConnectionMachineTest, UnsentPostsSurviveAReconnectInTheirOrder) {
  connect();
  const Handle in_flight = call();
  send();
  post();
  const CommandBatch other = get("other");
  const Handle behind = call(other);
  receive_end();
  EXPECT_THAT(ended(), ElementsAre(in_flight));
  connect();
  EXPECT_EQ(send(), std::string(kGet) + "*2\r\n$3\r\nGET\r\n$5\r\nother\r\n");
  receive({Reply::string("7"), Reply::string("8")});
  EXPECT_EQ(ended().size(), 2U);
  EXPECT_EQ(behind->result.replies[0], Reply::string("8"));
}

TEST_F(ConnectionMachineTest, PostsInFlightAreInDoubtAndNotSentAgain) {
  connect();
  post();
  send();
  receive_end();
  const auto lost = ended();
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_TRUE(lost[0]->result.failure.may_have_executed);
  EXPECT_EQ(machine_.next_action(), Action::kNone);
}

TEST_F(ConnectionMachineTest, LoadsTheScriptsOnEachConnectionBeforeAnythingElse) {
  const Script* const script = &kAdjustScript;
  scripts_.add({&script, 1});
  for (int i = 0; i < 2; ++i) {
    call();
    connect();
    const std::string sent = send();
    EXPECT_THAT(sent, ::testing::StartsWith("*4\r\n$4\r\nEVAL\r\n"));
    EXPECT_THAT(sent, ::testing::EndsWith(kGet));
    receive_end();
    EXPECT_EQ(ended().size(), 2U);
  }
}

TEST_F(ConnectionMachineTest, TheEndOfTheClientEndsEveryExchange) {
  connect();
  const Handle in_flight = call();
  send();
  const Handle unsent = call();
  post();
  machine_.end(finished_);
  const auto all = ended();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_TRUE(in_flight->result.failure.may_have_executed);
  EXPECT_FALSE(unsent->result.failure.may_have_executed);
  EXPECT_EQ(machine_.detached(), 0U);
  EXPECT_THAT(ended(), IsEmpty());
}

}  // namespace
}  // namespace tollgate::tests
