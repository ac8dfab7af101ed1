// The outcomes that count as failures of a server, and the failure of calls while its circuit is open.

#include "transport/server_health.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "transport/round_trip.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using Change = ServerHealth::Change;
using Permission = ServerHealth::Permission;

class ServerHealthTest : public ::testing::Test {
 protected:
  static constexpr ServerHealth::Time kNow{1h};

  static Replies one(Reply reply) {
    Replies replies;
    replies.push_back(std::move(reply));
    return replies;
  }

  ServerHealth health_{250ms, 1};
  const Failure refused_{Errc::kConnectFailed, false, "redis://h:1/0: Connection refused"};
};

TEST_F(ServerHealthTest, FiveFailuresInARowOpenTheCircuitAndASuccessfulProbeClosesIt) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(health_.fail(kNow, refused_), Change::kNone);
  EXPECT_FALSE(health_.is_open());
  EXPECT_EQ(health_.fail(kNow, refused_), Change::kOpened);
  EXPECT_TRUE(health_.is_open());
  EXPECT_EQ(health_.ask(kNow), Permission::kRefused);
  EXPECT_EQ(health_.ask(kNow + 1s), Permission::kProbe);
  EXPECT_EQ(health_.succeed(), Change::kClosed);
  EXPECT_FALSE(health_.is_open());
  EXPECT_EQ(health_.ask(kNow), Permission::kCall);
}

TEST_F(ServerHealthTest, ARefusedCallGetsTheCauseFirstAndThenThatItWasNotTried) {
  EXPECT_EQ(health_.open(kNow, refused_), Change::kOpened);
  const Failure refusal = health_.refusal();
  EXPECT_EQ(refusal.code, Errc::kConnectFailed);
  EXPECT_FALSE(refusal.may_have_executed);
  EXPECT_EQ(refusal.detail, "redis://h:1/0: Connection refused; not tried again yet: the circuit is open");
}

TEST_F(ServerHealthTest, ARefusedCallWasNotExecutedWhateverOpenedTheCircuit) {
  EXPECT_EQ(health_.open(kNow, {Errc::kConnectionLost, true}), Change::kOpened);
  EXPECT_FALSE(health_.refusal().may_have_executed);
}

TEST_F(ServerHealthTest, ATimeoutCountsWhereTheServerHadTheCommandTimeout) {
  EXPECT_TRUE(health_.counts_as_failure(kNow, kNow - 250ms, kNow));
  EXPECT_FALSE(health_.counts_as_failure(kNow, kNow - 249ms, kNow - 249ms));
  EXPECT_TRUE(health_.counts_as_failure(kNow, kNow - 1ms, kNow - 250ms));  // silent for as long, to other calls
}

TEST_F(ServerHealthTest, ErrorsThatAnyClientWouldGetAreFailuresOfTheServer) {
  for (const char* text : {"LOADING Redis is loading", "READONLY You can't write", "NOAUTH Authentication required.",
                           "BUSY Redis is busy", "MISCONF Redis", "CLUSTERDOWN The cluster is down"}) {
    EXPECT_TRUE(ServerHealth::inability_in(one(Reply::error(text)))) << text;
  }
  for (const char* text : {"OOM command not allowed", "WRONGTYPE Operation", "NOPERM this user", "ERR unknown command",
                           "BUSYKEY Target key name already exists"}) {
    EXPECT_FALSE(ServerHealth::inability_in(one(Reply::error(text)))) << text;
  }
  EXPECT_FALSE(ServerHealth::inability_in(one(Reply::string("LOADING"))));
}

TEST(RoundTripTest, FallsAtOnceAndRisesSlowly) {
  RoundTrip round_trip;
  EXPECT_FALSE(round_trip.is_slow());
  for (int i = 0; i < 3; ++i) round_trip.note(1ms, 1);
  EXPECT_TRUE(round_trip.is_slow());
  round_trip.note(100us, 1);
  EXPECT_FALSE(round_trip.is_slow());
  round_trip.note(500us, 1);  // one request that waited for a CPU
  EXPECT_FALSE(round_trip.is_slow());
}

TEST(RoundTripTest, TheTimeOfRedisForExchangesInFlightIsNotLatency) {
  RoundTrip round_trip;
  for (int i = 0; i < 100; ++i) round_trip.note(1ms, 200);
  EXPECT_FALSE(round_trip.is_slow());
}

}  // namespace
}  // namespace tollgate
