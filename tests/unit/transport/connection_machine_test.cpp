// The decisions about one connection, driven step by step: no socket, no thread, no clock.

#include "transport/connection_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/resp_encoder.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Action = ConnectionMachine::Action;
using GivenUp = ConnectionMachine::GivenUp;
using Handle = ConnectionMachine::Handle;
using Server = ConnectionMachine::Server;
using Time = ConnectionMachine::Time;

constexpr Time kStart{1h};
constexpr auto kCommandTimeout = 250ms;

const char* const kGet = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

CommandBatch get(std::string_view key = "k") {
  CommandBatch batch;
  batch.get(key);
  return batch;
}

/// Notes what the machine requires.
class RecordingDriver final : public ConnectionMachine::Driver {
 public:
  void close_connection(const Failure& why) noexcept override { log_ += "closed: " + why.detail + '\n'; }
  void circuit_opened(const Failure&) noexcept override { log_ += "circuit opened\n"; }
  void circuit_closed() noexcept override { log_ += "circuit closed\n"; }
  void login_refused(const Failure& why, Time, bool is_first) noexcept override {
    log_ += "login refused" + std::string{is_first ? ", first: " : ": "} + why.detail + '\n';
  }

  /// What was required since the last call.
  std::string log() { return std::exchange(log_, {}); }

 private:
  std::string log_;
};

class ConnectionMachineTest : public ::testing::Test {
 protected:
  Handle call(const CommandBatch& batch) {
    std::string bytes;
    const Serial serial = machine_.take_serial(batch);
    append_resp(bytes, batch, serial);
    return machine_.add_call(batch, serial, bytes, nullptr, now_, refusal_).value();
  }
  Handle call() { return call(get_); }
  bool is_refused() {
    std::string bytes;
    append_resp(bytes, get_, 0);
    return !machine_.add_call(get_, 0, bytes, nullptr, now_, refusal_).has_value();
  }
  bool post() {
    CommandBatch batch = get_;
    std::shared_ptr<ReplyHandler> none;
    return machine_.add_post(batch, machine_.take_serial(batch), kGet, none, now_);
  }
  void connect(bool has_answered = true) {
    EXPECT_TRUE(machine_.begin_connecting(now_, finished_));
    machine_.connected(now_, has_answered, login_);
  }
  void fail_to_connect() {
    EXPECT_TRUE(machine_.begin_connecting(now_, finished_));
    machine_.connect_failed({Errc::kConnectFailed, false, "refused"}, now_, finished_);
  }
  /// The bytes that are sent; the peer takes all but `unsent` of them.
  std::string send(std::size_t unsent = 0) {
    machine_.begin_sending(now_, outgoing_, finished_);
    std::string sent = outgoing_.substr(0, outgoing_.size() - unsent);
    const std::size_t kept = machine_.sent(unsent, false, finished_);
    outgoing_ = outgoing_.substr(sent.size(), kept);
    return sent;
  }
  void receive(std::vector<Reply> replies) { machine_.received(replies, {}, false, now_, finished_); }
  void receive_end() {
    std::vector<Reply> none;
    machine_.received(none, {Errc::kConnectionLost, true, "Redis closed it"}, false, now_, finished_);
  }
  GivenUp time_out(Handle exchange) {
    Failure failure{Errc::kTimeout};
    return machine_.time_out(exchange, now_, failure, finished_);
  }
  /// The exchanges that have ended since the last call, oldest first.
  std::vector<Handle> ended() {
    std::vector<Handle> handles;
    while (!finished_.empty()) handles.push_back(finished_.pop_front().self);
    return handles;
  }
  /// Opens the circuit by failed attempts to connect.
  void open_circuit() {
    call();
    fail_to_connect();
    ASSERT_EQ(ended().size(), 1U);
    ASSERT_EQ(driver_.log(), "circuit opened\n");
  }

  const CommandBatch get_ = get();
  ScriptList scripts_;
  RecordingDriver driver_;
  std::shared_ptr<ScriptPreload> preload_ = std::make_shared<ScriptPreload>(scripts_);
  ConnectionMachine machine_{driver_, kCommandTimeout, preload_, ConnectionMachine::Use::kCalls, 1};
  FinishedExchanges finished_;
  Failure refusal_;
  std::string outgoing_;
  Time now_ = kStart;
  LoginRenewal login_;
};

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

TEST_F(ConnectionMachineTest, TimeoutsOpenTheCircuitAndEndWhatIsInFlight) {
  connect();
  for (int i = 0; i < CircuitBreaker::kInARow; ++i) {
    const Handle exchange = call();
    send();
    now_ += kCommandTimeout;
    EXPECT_EQ(time_out(exchange), GivenUp::kAbandoned);
  }
  EXPECT_TRUE(machine_.circuit_is_open());
  EXPECT_EQ(ended().size(), 5U);
  EXPECT_EQ(driver_.log(), "circuit opened\nclosed: given up when the circuit opened\n");
}

TEST_F(ConnectionMachineTest, TheTimeoutOfAShortDeadlineIsNoFailureOfTheServer) {
  connect();
  for (int i = 0; i < 2 * CircuitBreaker::kInARow; ++i) {
    const Handle exchange = call();
    send();
    now_ += 1ms;
    time_out(exchange);
    receive({Reply::string("late")});
  }
  EXPECT_FALSE(machine_.circuit_is_open());
}

TEST_F(ConnectionMachineTest, CallsAreRefusedWhileTheCircuitIsOpen) {
  open_circuit();
  EXPECT_TRUE(is_refused());
  EXPECT_EQ(refusal_.code, Errc::kConnectFailed);
  EXPECT_FALSE(refusal_.may_have_executed);
  EXPECT_THAT(refusal_.detail, ::testing::HasSubstr("the circuit is open"));
}

TEST_F(ConnectionMachineTest, OneProbeIsAdmittedAndItsReplyClosesTheCircuit) {
  open_circuit();
  now_ += CircuitBreaker::kLongestPause;
  const Handle probe = call();
  EXPECT_TRUE(is_refused());
  connect();
  send();
  receive({Reply::string("7")});
  EXPECT_THAT(ended(), ElementsAre(probe));
  machine_.release(probe);
  EXPECT_EQ(driver_.log(), "circuit closed\n");
  EXPECT_FALSE(is_refused());
}

TEST_F(ConnectionMachineTest, AProbeThatIsCancelledLetsTheNextCallProbe) {
  open_circuit();
  now_ += CircuitBreaker::kLongestPause;
  EXPECT_EQ(machine_.cancel(call(), finished_), GivenUp::kWithdrawn);
  call();  // the probe
  EXPECT_TRUE(is_refused());
}

TEST_F(ConnectionMachineTest, ACallIsNotQueuedForAnAttemptThatMayNotBegin) {
  ASSERT_TRUE(post());
  open_circuit();
  EXPECT_EQ(machine_.next_action(), Action::kConnect);  // for the post
  EXPECT_FALSE(machine_.may_connect(now_));
  EXPECT_FALSE(machine_.begin_connecting(now_, finished_));
  EXPECT_EQ(machine_.posted(), 1U);
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

TEST_F(ConnectionMachineTest, AnIdleConnectionThatEndsIsNoFailure) {
  for (int i = 0; i < 10; ++i) {
    connect();
    receive_end();
  }
  EXPECT_FALSE(machine_.circuit_is_open());
}

TEST_F(ConnectionMachineTest, AConnectionThatEndsBeforeItAnsweredIsAFailedAttempt) {
  connect(false);
  receive_end();
  EXPECT_TRUE(machine_.circuit_is_open());
}

TEST_F(ConnectionMachineTest, TheEndOfAMaintenanceConnectionIsNoFailure) {
  ConnectionMachine maintenance{driver_, kCommandTimeout, preload_, ConnectionMachine::Use::kMaintenance, 1};
  maintenance.connected(now_, false, {});
  std::vector<Reply> none;
  maintenance.received(none, {Errc::kConnectionLost, true, "Redis closed it"}, false, now_, finished_);
  EXPECT_FALSE(maintenance.circuit_is_open());
}

TEST_F(ConnectionMachineTest, ReplacesTheConnectionToADemotedServerOnceNothingIsInFlight) {
  connect();
  const Handle refused = call();
  const Handle behind = call();
  send();
  now_ += 2s;
  receive({Reply::error("READONLY You can't write against a read only replica.")});
  EXPECT_THAT(ended(), ElementsAre(refused));
  const Handle next = call();
  EXPECT_EQ(machine_.next_action(), Action::kReceive);  // for the reply to `behind`
  receive({Reply::string("7")});
  EXPECT_THAT(ended(), ElementsAre(behind));
  EXPECT_EQ(machine_.next_action(), Action::kClose);
  machine_.close(now_, finished_);
  EXPECT_EQ(machine_.next_action(), Action::kConnect);
  connect();
  EXPECT_EQ(send(), kGet);
  EXPECT_FALSE(next->done());
}

TEST_F(ConnectionMachineTest, ErrorsThatAnyClientWouldGetOpenTheCircuit) {
  connect();
  for (int i = 0; i < CircuitBreaker::kInARow; ++i) {
    call();
    send();
    receive({Reply::error("LOADING Redis is loading the dataset in memory")});
  }
  EXPECT_TRUE(machine_.circuit_is_open());
}

TEST_F(ConnectionMachineTest, FailuresOnOtherConnectionsCountHere) {
  for (int i = 0; i < CircuitBreaker::kInARow; ++i) {
    machine_.failed_elsewhere({Errc::kConnectionLost, true}, now_, now_, finished_);
  }
  EXPECT_TRUE(machine_.circuit_is_open());
}

TEST_F(ConnectionMachineTest, IsSilentWhenNothingCameForTheCommandTimeoutAfterATimeout) {
  connect();
  const Handle exchange = call();
  send();
  now_ += kCommandTimeout / 2;
  EXPECT_FALSE(machine_.has_timed_out());
  time_out(exchange);
  EXPECT_TRUE(machine_.has_timed_out());
  EXPECT_FALSE(machine_.is_silent(now_));
  now_ += kCommandTimeout / 2;
  EXPECT_TRUE(machine_.is_silent(now_));
  receive({Reply::string("7")});
  EXPECT_FALSE(machine_.has_timed_out());
  EXPECT_FALSE(machine_.is_silent(now_));
}

TEST_F(ConnectionMachineTest, LateRepliesAreOverdueOnceTheServerAnswersOthersForTheCommandTimeout) {
  connect();
  const Handle exchange = call();
  send();
  time_out(exchange);
  EXPECT_FALSE(machine_.are_late_replies_overdue(Server::kAnswers, now_));
  EXPECT_FALSE(machine_.are_late_replies_overdue(Server::kFails, now_ + kCommandTimeout));  // begins anew
  EXPECT_FALSE(machine_.are_late_replies_overdue(Server::kAnswers, now_ + 2 * kCommandTimeout));
  EXPECT_FALSE(machine_.are_late_replies_overdue(Server::kAnswers, now_ + 3 * kCommandTimeout));
  EXPECT_TRUE(machine_.are_late_replies_overdue(Server::kAnswers, now_ + 3 * kCommandTimeout + 1ms));
  receive({Reply::string("7")});
  EXPECT_FALSE(machine_.are_late_replies_overdue(Server::kAnswers, now_ + 9 * kCommandTimeout));
}

const char* const kAuth = "*2\r\n$4\r\nAUTH\r\n$3\r\nnew\r\n";

class LoginOfConnection : public ConnectionMachineTest {
 protected:
  /// Connected with credentials that last 8 s, of which 6 have passed.
  LoginOfConnection() {
    login_ = {kStart, 8s};
    connect();
    now_ += 6s;
  }
  void renew() { machine_.renew_login({.password = "new", .valid_for = 8s}, now_); }
};

TEST_F(LoginOfConnection, IsRenewedInStepWithTheReplies) {
  const Handle before = call();
  send();
  const Handle after = call();
  ASSERT_TRUE(machine_.begin_login_renewal(now_));
  EXPECT_FALSE(machine_.begin_login_renewal(now_));  // one asks
  renew();
  EXPECT_EQ(send(), std::string(kAuth) + kGet);
  receive({Reply::string("1"), Reply::status("OK"), Reply::string("2")});
  EXPECT_EQ(before->result.replies[0], Reply::string("1"));
  EXPECT_EQ(after->result.replies[0], Reply::string("2"));
  EXPECT_EQ(driver_.log(), "");
  EXPECT_EQ(machine_.login_due(), now_ + 6s);
}

TEST_F(LoginOfConnection, IsKeptWhenTheNewOneIsRefusedAndThatIsReportedOnce) {
  for (const char* const log : {"login refused, first: AUTH was answered with WRONGPASS\n",
                                "login refused: AUTH was answered with WRONGPASS\n"}) {
    ASSERT_TRUE(machine_.begin_login_renewal(now_));
    renew();
    send();
    receive({Reply::error("WRONGPASS invalid username-password pair")});
    EXPECT_EQ(driver_.log(), log);
    EXPECT_TRUE(machine_.is_connected());
    EXPECT_FALSE(machine_.is_closing());
    EXPECT_EQ(machine_.login_due(), now_ + 1s);
    now_ += 1s;
  }
  call();
  EXPECT_EQ(send(), kGet);
}

TEST_F(LoginOfConnection, IsAskedForAgainWhenTheCallbackThrew) {
  ASSERT_TRUE(machine_.begin_login_renewal(now_));
  machine_.login_not_renewed({Errc::kAuthFailed, false, "threw"}, now_);
  EXPECT_EQ(driver_.log(), "login refused, first: threw\n");
  EXPECT_TRUE(machine_.begin_login_renewal(now_ + 1s));
}

TEST_F(LoginOfConnection, IsForThatConnectionAlone) {
  ASSERT_TRUE(machine_.begin_login_renewal(now_));
  renew();
  receive_end();
  ASSERT_TRUE(machine_.next_action() == Action::kNone);
  connect();
  EXPECT_FALSE(machine_.can_send());
  login_ = {now_, 8s};
  receive_end();
  connect();
  renew();  // the callback returned too late
  EXPECT_FALSE(machine_.can_send());
}

TEST_F(LoginOfConnection, ThatHasEndedIsFollowedByAnotherConnectionAndCountsAsNoFailure) {
  for (int i = 0; i < 2 * CircuitBreaker::kInARow; ++i) call();
  send();
  const Handle unsent = call();
  for (int i = 0; i < 2 * CircuitBreaker::kInARow; ++i) receive({Reply::error("NOAUTH Authentication required.")});
  EXPECT_EQ(ended().size(), 2U * CircuitBreaker::kInARow);
  EXPECT_FALSE(machine_.circuit_is_open());
  EXPECT_EQ(machine_.next_action(), Action::kClose);
  machine_.close(now_, finished_);
  connect();
  EXPECT_EQ(send(), kGet);
  EXPECT_FALSE(unsent->done());
}

TEST_F(ConnectionMachineTest, AServerThatDemandsALoginFromTheBeginningOpensTheCircuit) {
  connect();
  for (int i = 0; i < CircuitBreaker::kInARow; ++i) {
    call();
    send();
    receive({Reply::error("NOAUTH Authentication required.")});
  }
  EXPECT_TRUE(machine_.circuit_is_open());
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
}  // namespace tollgate
