// What one connection shows of its server: the circuit, silence, replacement, and the login.

#include "unit/transport/connection_machine_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tollgate::tests {
namespace {

using ::testing::ElementsAre;

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

}  // namespace
}  // namespace tollgate::tests
