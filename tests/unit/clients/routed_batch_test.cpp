#include "clients/routed_batch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "clients/redirection.hpp"
#include "tollgate/testing/print.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = Redirection::Kind;

TEST(RedirectionTest, ReadsSlotHostAndPort) {
  const Redirection moved = redirection_in("MOVED 3999 127.0.0.1:6381");
  EXPECT_EQ(moved.kind, Kind::kMoved);
  EXPECT_EQ(moved.slot, 3999);
  EXPECT_EQ(moved.host, "127.0.0.1");
  EXPECT_EQ(moved.port, 6381);

  const Redirection ask = redirection_in("ASK 16383 2001:db8::1:7000");
  EXPECT_EQ(ask.kind, Kind::kAsk);
  EXPECT_EQ(ask.host, "2001:db8::1");
  EXPECT_EQ(ask.port, 7000);

  EXPECT_EQ(redirection_in("MOVED 1 node-3.example:1").host, "node-3.example");
  EXPECT_EQ(redirection_in("MOVED 1 :6381").host, "");  // the host that answered
}

TEST(RedirectionTest, SlotsWithoutANodeAreWaitedFor) {
  for (const char* text :
       {"TRYAGAIN Multiple keys request during rehashing of slot", "CLUSTERDOWN Hash slot not served",
        "CLUSTERDOWN The cluster is down", "READONLY You can't write against a read only replica."}) {
    EXPECT_EQ(redirection_in(text).kind, Kind::kWait) << text;
  }
}

TEST(RedirectionTest, AllElseIsAFinalReply) {
  for (const char* text :
       {"", "MOVED", "MOVED ", "MOVED 1", "MOVED 1 host", "MOVED 16384 host:1", "MOVED -1 host:1", "MOVED x host:1",
        "MOVED 1 host:0", "MOVED 1 host:65536", "MOVED 1 host:", "MOVED 1 host:x", "MOVED 1:2", "MOVEDX 1 a:1",
        "ASK 99999999999999999999 a:1", "OOM command not allowed", "CROSSSLOT Keys in request", "LOADING Redis"}) {
    EXPECT_EQ(redirection_in(text).kind, Kind::kNone) << text;
  }
  EXPECT_EQ(redirection_in(Reply::string("MOVED 1 host:1")).kind, Kind::kNone);  // no error
  EXPECT_EQ(redirection_in("MOVED 1 " + std::string(255, 'h') + ":1").kind, Kind::kMoved);
  EXPECT_EQ(redirection_in("MOVED 1 " + std::string(256, 'h') + ":1").kind, Kind::kNone);
}

class RoutedBatchTest : public ::testing::Test {
 protected:
  RoutedBatchTest() {
    batch_.incr_by("a", 5);
    batch_.expire("a", 60s);
    batch_.get("b");
  }

  static Reply moved() { return Reply::error("MOVED 7 new:7001"); }
  static Reply ask() { return Reply::error("ASK 7 target:7002"); }

  [[nodiscard]] std::vector<std::size_t> pending(const RoutedBatch& routed) const {
    std::vector<std::size_t> commands;
    for (const RoutedBatch::Pending& each : routed.pending()) commands.push_back(each.command);
    return commands;
  }

  CommandBatch batch_;
};

TEST_F(RoutedBatchTest, PutsRepliesBackInOrder) {
  RoutedBatch routed{batch_};
  EXPECT_THAT(pending(routed), ElementsAre(0, 1, 2));
  routed.answer(2, Reply::string("b"), "host");
  routed.answer(0, Reply::integer(5), "host");
  routed.answer(1, Reply::integer(1), "host");
  EXPECT_FALSE(routed.next());
  const BatchResult result = routed.finish({});
  ASSERT_THAT(result.replies.size(), 3U);
  EXPECT_EQ(result.replies[0], Reply::integer(5));
  EXPECT_EQ(result.replies[2], Reply::string("b"));
  EXPECT_THAT(result.failed_commands, IsEmpty());
}

TEST_F(RoutedBatchTest, SendsOnlyWhatWasRedirectedAgain) {
  RoutedBatch routed{batch_};
  routed.answer(0, Reply::integer(5), "old");
  routed.answer(1, Reply::integer(1), "old");
  routed.answer(2, moved(), "old");
  ASSERT_TRUE(routed.next());
  EXPECT_THAT(pending(routed), ElementsAre(2));
  EXPECT_EQ(routed.pending()[0].route.node, (HostAndPort{"new", 7001}));
  EXPECT_FALSE(routed.pending()[0].route.is_asked);
  EXPECT_FALSE(routed.must_pause());
}

TEST_F(RoutedBatchTest, AnExpiryFollowsItsChargeAlsoWhereItWasExecuted) {
  for (const Reply& expired : {Reply::integer(0), Reply::error("MOVED 7 other:1"), Reply::error("TRYAGAIN now")}) {
    RoutedBatch routed{batch_};
    routed.answer(0, ask(), "old");
    routed.answer(1, expired, "old");
    routed.answer(2, Reply{}, "old");
    ASSERT_TRUE(routed.next());
    ASSERT_THAT(pending(routed), ElementsAre(0, 1));
    for (const RoutedBatch::Pending& each : routed.pending()) {
      EXPECT_EQ(each.route.node, (HostAndPort{"target", 7002}));
      EXPECT_TRUE(each.route.is_asked);
    }
  }
}

TEST_F(RoutedBatchTest, AnExecutedChargeIsNotSentAgainWithItsExpiry) {
  RoutedBatch routed{batch_};
  routed.answer(0, Reply::integer(5), "old");
  routed.answer(1, ask(), "old");
  routed.answer(2, Reply{}, "old");
  ASSERT_TRUE(routed.next());
  EXPECT_THAT(pending(routed), ElementsAre(1));
  EXPECT_THAT(routed.lost_expiries(), SizeIs(1));  // where it stays so
  EXPECT_EQ(routed.finish({Errc::kTimeout}).replies[0], Reply::integer(5));
}

TEST_F(RoutedBatchTest, ARedirectionWithoutAHostMeansTheHostThatAnswered) {
  RoutedBatch routed{batch_};
  routed.answer(0, Reply::integer(5), "old");
  routed.answer(1, Reply::integer(1), "old");
  routed.answer(2, Reply::error("MOVED 7 :7009"), "old");
  ASSERT_TRUE(routed.next());
  EXPECT_EQ(routed.pending()[0].route.node, (HostAndPort{"old", 7009}));
}

TEST_F(RoutedBatchTest, ASlotThatNoNodeServesIsTriedAgainAfterAPauseThenReported) {
  RoutedBatch routed{batch_};
  routed.answer(0, Reply::error("CLUSTERDOWN Hash slot not served"), "old");
  routed.answer(1, Reply::error("CLUSTERDOWN Hash slot not served"), "old");
  routed.answer(2, Reply::string("b"), "old");
  ASSERT_TRUE(routed.next());
  EXPECT_TRUE(routed.must_pause());
  EXPECT_FALSE(routed.pending()[0].route.node.has_value());  // by the map
  const BatchResult result = routed.finish({Errc::kLoading});
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.replies[0], Reply::error("CLUSTERDOWN Hash slot not served"));
  EXPECT_EQ(result.replies[2], Reply::string("b"));
  EXPECT_TRUE(routed.lost_expiries().empty());
}

TEST_F(RoutedBatchTest, EndlessRedirectionsPauseAndEndAsTheFailureThatIsGiven) {
  CommandBatch get;
  get.get("b");
  RoutedBatch routed{get};
  for (int i = 0; i < RoutedBatch::kMostRedirections; ++i) {
    EXPECT_FALSE(routed.must_pause());
    routed.answer(0, moved(), "old");
    ASSERT_TRUE(routed.next());
  }
  routed.answer(0, moved(), "old");
  ASSERT_TRUE(routed.next());
  EXPECT_TRUE(routed.must_pause());
  const BatchResult result = routed.finish({Errc::kLoading, false, "moved again and again"});
  EXPECT_EQ(result.failure.code, Errc::kLoading);
  EXPECT_FALSE(result.failure.may_have_executed);
}

TEST_F(RoutedBatchTest, AFailureOfOneNodeIsOneOfItsCommandsAlone) {
  RoutedBatch routed{batch_};
  routed.fail(2, {Errc::kConnectionLost, true, "lost"});
  routed.answer(0, Reply::integer(5), "host");
  routed.answer(1, Reply::integer(1), "host");
  EXPECT_FALSE(routed.next());
  const BatchResult result = routed.finish({});
  EXPECT_TRUE(result.ok());
  EXPECT_FALSE((ReplyRange{result, 0, 2}).failure().code);
  EXPECT_EQ((ReplyRange{result, 2, 1}).failure().code, Errc::kConnectionLost);
  EXPECT_TRUE((ReplyRange{result, 2, 1}).failure().may_have_executed);
  EXPECT_EQ((ReplyRange{result}).failure().code, Errc::kConnectionLost);
}

TEST_F(RoutedBatchTest, AFailureOfAllIsOneOfTheBatch) {
  RoutedBatch routed{batch_};
  for (const std::size_t i : {0U, 1U, 2U}) routed.fail(i, {Errc::kConnectFailed, false, "refused"});
  EXPECT_FALSE(routed.next());
  const BatchResult result = routed.finish({});
  EXPECT_EQ(result.failure.code, Errc::kConnectFailed);
  EXPECT_TRUE(result.replies.empty());
}

TEST_F(RoutedBatchTest, WhatIsInDoubtIsToldApartFromWhatIsNot) {
  RoutedBatch routed{batch_};
  routed.fail(0, {Errc::kConnectionLost, true});
  routed.fail(1, {Errc::kConnectionLost, true});
  routed.fail(2, {Errc::kConnectFailed, false});
  routed.next();
  const BatchResult result = routed.finish({});
  EXPECT_TRUE((ReplyRange{result, 0, 2}).failure().may_have_executed);
  EXPECT_FALSE((ReplyRange{result, 2, 1}).failure().may_have_executed);
}

}  // namespace
}  // namespace tollgate
