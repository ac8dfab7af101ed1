// The stages of an attempt to connect, driven step by step: no socket, no name server, no clock.

#include "transport/connect_attempt.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using Action = ConnectAttempt::Action;

constexpr ConnectAttempt::Time kNow{1h};

class ConnectAttemptTest : public ::testing::Test {
 protected:
  [[nodiscard]] ConnectAttempt attempt(Handshake handshake = Handshake::kAsNeeded) const {
    return {endpoint_, login_, handshake, 900ms, kNow};
  }
  static HostAddresses addresses(std::size_t count) { return {std::vector<SocketAddress>(count)}; }
  /// Up to the handshake.
  static void open(ConnectAttempt& attempt) {
    attempt.resolved(addresses(1));
    attempt.opening(kNow);
    attempt.opened();
  }
  static void answer(ConnectAttempt& attempt, Reply reply) { attempt.answered(std::array{std::move(reply)}); }

  const Endpoint endpoint_{.name = "redis://db:6379/0", .host = "db"};
  Login login_;
};

TEST_F(ConnectAttemptTest, NeedsNoHandshakeWithoutPasswordAndDatabase) {
  ConnectAttempt connecting = attempt();
  EXPECT_EQ(connecting.action(), Action::kResolve);
  open(connecting);
  EXPECT_EQ(connecting.action(), Action::kLogIn);
  EXPECT_EQ(connecting.handshake(std::nullopt), "");
  EXPECT_EQ(connecting.action(), Action::kConnected);
  EXPECT_FALSE(connecting.has_answered());
}

TEST_F(ConnectAttemptTest, ASecondaryConnectionIsCheckedByAPing) {
  ConnectAttempt connecting = attempt(Handshake::kAlways);
  open(connecting);
  EXPECT_EQ(connecting.handshake(std::nullopt), "*1\r\n$4\r\nPING\r\n");
  EXPECT_EQ(connecting.action(), Action::kAwaitAnswers);
  answer(connecting, Reply::status("PONG"));
  EXPECT_EQ(connecting.action(), Action::kConnected);
  EXPECT_TRUE(connecting.has_answered());
}

TEST_F(ConnectAttemptTest, LogsInAndSelectsAndWaitsForBothAnswers) {
  login_.database = 3;
  ConnectAttempt connecting = attempt(Handshake::kAlways);
  open(connecting);
  EXPECT_EQ(connecting.handshake(Credentials{"app", "pw"}),
            "*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$2\r\npw\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
  answer(connecting, Reply::status("OK"));
  EXPECT_EQ(connecting.action(), Action::kAwaitAnswers);
  answer(connecting, Reply::status("OK"));
  EXPECT_EQ(connecting.action(), Action::kConnected);
}

TEST_F(ConnectAttemptTest, ThePasswordAloneIsTheDefaultUsers) {
  ConnectAttempt connecting = attempt();
  open(connecting);
  EXPECT_EQ(connecting.handshake(Credentials{"", "pw"}), "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n");
}

TEST_F(ConnectAttemptTest, ARefusedLoginFailsWithTheServersReasonAndWithoutThePassword) {
  ConnectAttempt connecting = attempt();
  open(connecting);
  static_cast<void>(connecting.handshake(Credentials{"", "secret"}));
  answer(connecting, Reply::error("WRONGPASS invalid username-password pair"));
  EXPECT_EQ(connecting.action(), Action::kFailed);
  EXPECT_EQ(connecting.failure().code, Errc::kAuthFailed);
  EXPECT_EQ(connecting.failure().detail, "redis://db:6379/0: AUTH or SELECT was refused");
}

TEST_F(ConnectAttemptTest, AnInquiryIsSentBehindTheLoginAndItsReplyIsKeptWhateverItIs) {
  login_.inquiry = "*1\r\n$4\r\nROLE\r\n";
  for (const Reply& reply : {Reply::integer(7), Reply::error("NOPERM no")}) {
    ConnectAttempt connecting = attempt(Handshake::kAlways);
    open(connecting);
    EXPECT_EQ(connecting.handshake(Credentials{"", "pw"}), "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n" + login_.inquiry);
    answer(connecting, Reply::status("OK"));
    EXPECT_EQ(connecting.action(), Action::kAwaitAnswers);
    answer(connecting, reply);
    EXPECT_EQ(connecting.action(), Action::kConnected);
    EXPECT_EQ(connecting.inquiry_reply(), reply);
  }
}

TEST_F(ConnectAttemptTest, ARefusedLoginFailsAlsoWithAnInquiry) {
  login_.inquiry = "*1\r\n$4\r\nROLE\r\n";
  ConnectAttempt connecting = attempt();
  open(connecting);
  static_cast<void>(connecting.handshake(Credentials{"", "pw"}));
  answer(connecting, Reply::error("WRONGPASS no"));
  EXPECT_EQ(connecting.action(), Action::kFailed);
}

TEST_F(ConnectAttemptTest, TriesTheAddressesInTurnAndNamesTheLastFailure) {
  ConnectAttempt connecting = attempt();
  connecting.resolved(addresses(2));
  connecting.opening(kNow);
  connecting.not_opened("Connection refused");
  EXPECT_EQ(connecting.action(), Action::kOpen);
  connecting.opening(kNow);
  connecting.not_opened("No route to host");
  EXPECT_EQ(connecting.action(), Action::kFailed);
  EXPECT_EQ(connecting.failure().code, Errc::kConnectFailed);
  EXPECT_THAT(connecting.failure().detail, ::testing::HasSubstr("No route to host"));
}

TEST_F(ConnectAttemptTest, EachAddressHasItsShareOfTheTimeThatIsLeft) {
  ConnectAttempt connecting = attempt();
  connecting.resolved(addresses(3));
  connecting.opening(kNow);
  EXPECT_EQ(connecting.deadline(), kNow + 300ms);
  connecting.timed_out();
  EXPECT_EQ(connecting.action(), Action::kOpen);
  connecting.opening(kNow + 300ms);
  EXPECT_EQ(connecting.deadline(), kNow + 600ms);
  connecting.opened();
  EXPECT_EQ(connecting.deadline(), kNow + 900ms);  // the handshake has all that is left
}

TEST_F(ConnectAttemptTest, TimeInWhichNoCallerDrivesDoesNotCount) {
  ConnectAttempt connecting = attempt();
  connecting.pause(kNow + 100ms);
  connecting.resume(kNow + 10s);
  EXPECT_EQ(connecting.deadline(), kNow + 900ms + 9900ms);
}

TEST_F(ConnectAttemptTest, ATimeoutNamesItsStage) {
  ConnectAttempt resolving = attempt();
  resolving.timed_out();
  EXPECT_THAT(resolving.failure().detail, ::testing::HasSubstr("not resolved within connect_timeout"));
  ConnectAttempt logging_in = attempt(Handshake::kAlways);
  open(logging_in);
  static_cast<void>(logging_in.handshake(std::nullopt));
  logging_in.timed_out();
  EXPECT_THAT(logging_in.failure().detail, ::testing::HasSubstr("not answered in time"));
}

TEST_F(ConnectAttemptTest, ANameWithoutAddressFails) {
  ConnectAttempt connecting = attempt();
  connecting.resolved({{}, "Name or service not known"});
  EXPECT_EQ(connecting.action(), Action::kFailed);
  EXPECT_THAT(connecting.failure().detail, ::testing::HasSubstr("Name or service not known"));
}

TEST_F(ConnectAttemptTest, AConnectionLostDuringTheHandshakeExecutedNothing) {
  ConnectAttempt connecting = attempt(Handshake::kAlways);
  open(connecting);
  static_cast<void>(connecting.handshake(std::nullopt));
  connecting.lost({Errc::kConnectionLost, true, "Redis closed it"});
  EXPECT_EQ(connecting.failure().code, Errc::kConnectFailed);
  EXPECT_FALSE(connecting.failure().may_have_executed);
}

}  // namespace
}  // namespace tollgate
