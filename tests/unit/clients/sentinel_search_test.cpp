// The search for a primary, step by step: which sentinel is asked, what its reply means, and the final error.
#include "clients/sentinel_search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tollgate {
namespace {

using Action = SentinelSearch::Action;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Reply address(const std::string& host, const std::string& port) {
  return Reply::array({Reply::string(host), Reply::string(port)});
}
Reply role(const std::string& name) { return Reply::array({Reply::string(name), Reply::integer(0)}); }
Failure refused(const std::string& who) { return {Errc::kConnectFailed, false, who + ": Connection refused"}; }

class SentinelSearchTest : public ::testing::Test {
 protected:
  const Url url_ = Url::parse("redis+sentinel://app:hunter2@a,b,c/main?sentinel_password=hunter2");
  SentinelSearch search_{url_, 0};
};

TEST_F(SentinelSearchTest, AsksForTheAddressOfTheService) {
  EXPECT_EQ(SentinelSearch::query("main"), "*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$4\r\nmain\r\n");
  EXPECT_EQ(SentinelSearch::role_query(), "*1\r\n$4\r\nROLE\r\n");
}

TEST_F(SentinelSearchTest, FindsTheServerThatSaysItIsThePrimary) {
  EXPECT_EQ(search_.action(), Action::kAskSentinel);
  EXPECT_EQ(search_.sentinel(), 0U);
  search_.sentinel_answered(address("10.0.0.1", "6380"));
  EXPECT_EQ(search_.action(), Action::kCheckPrimary);
  EXPECT_EQ(search_.primary(), (HostAndPort{"10.0.0.1", 6380}));
  search_.primary_answered(role("master"));
  EXPECT_EQ(search_.action(), Action::kFound);
  EXPECT_EQ(search_.sentinel(), 0U);
}

TEST_F(SentinelSearchTest, BeginsWithTheLastGoodSentinelAndGoesAround) {
  SentinelSearch search{url_, 2};
  EXPECT_EQ(search.sentinel(), 2U);
  EXPECT_EQ(search.sentinels_left(), 3U);
  search.sentinel_failed(refused("c"));
  EXPECT_EQ(search.sentinel(), 0U);
  search.sentinel_failed(refused("a"));
  EXPECT_EQ(search.sentinel(), 1U);
  EXPECT_EQ(search.sentinels_left(), 1U);
}

TEST_F(SentinelSearchTest, AStaleSentinelDoesNotWin) {
  search_.sentinel_answered(address("old", "6379"));
  search_.primary_answered(role("slave"));
  EXPECT_EQ(search_.action(), Action::kAskSentinel);
  EXPECT_EQ(search_.sentinel(), 1U);
  search_.sentinel_answered(address("new", "6379"));
  search_.primary_answered(role("master"));
  EXPECT_EQ(search_.action(), Action::kFound);
  EXPECT_EQ(search_.primary().host, "new");
}

TEST_F(SentinelSearchTest, AsksTheNextWhenTheNamedServerIsGone) {
  search_.sentinel_answered(address("old", "6379"));
  search_.primary_failed(refused("old"));
  EXPECT_EQ(search_.action(), Action::kAskSentinel);
  EXPECT_EQ(search_.sentinel(), 1U);
}

TEST_F(SentinelSearchTest, DoesNotTryTheSameServerTwice) {
  search_.sentinel_answered(address("old", "6379"));
  search_.primary_failed(refused("server old:6379"));
  search_.sentinel_answered(address("old", "6379"));
  EXPECT_EQ(search_.action(), Action::kAskSentinel);
  EXPECT_EQ(search_.sentinel(), 2U);
  search_.sentinel_answered(address("old", "6379"));
  EXPECT_EQ(search_.action(), Action::kFailed);
  EXPECT_EQ(search_.failure().code, Errc::kConnectFailed);
  EXPECT_THAT(search_.failure().detail, HasSubstr("server old:6379: Connection refused"));
}

TEST_F(SentinelSearchTest, NamesEverySentinelThatCannotBeReached) {
  for (const char* name : {"a", "b", "c"}) search_.sentinel_failed(refused(std::string{"sentinel "} + name));
  EXPECT_EQ(search_.action(), Action::kFailed);
  EXPECT_EQ(search_.failure().code, Errc::kConnectFailed);
  EXPECT_EQ(search_.failure().detail,
            "redis+sentinel://a:26379,b:26379,c:26379/main/0: sentinel a: Connection refused; sentinel b: Connection "
            "refused; sentinel c: Connection refused");
}

TEST_F(SentinelSearchTest, AServiceThatMostSentinelsDoNotHaveIsAMisconfiguration) {
  search_.sentinel_answered({});
  search_.sentinel_failed(refused("sentinel b"));
  search_.sentinel_answered({});
  EXPECT_EQ(search_.failure().code, Errc::kWrongTopology);
  EXPECT_TRUE(is_misconfiguration(search_.failure().code));
  EXPECT_THAT(search_.failure().detail,
              AllOf(HasSubstr("sentinel a:26379: has no service \"main\""), Not(HasSubstr("hunter2"))));
}

TEST_F(SentinelSearchTest, OneSentinelWithoutTheServiceIsAnOutage) {
  search_.sentinel_answered({});
  search_.sentinel_failed(refused("sentinel b"));
  search_.sentinel_failed(refused("sentinel c"));
  EXPECT_EQ(search_.failure().code, Errc::kConnectFailed);
}

TEST_F(SentinelSearchTest, APlainServerIsNoSentinel) {
  const Url url = Url::parse("redis+sentinel://a/main");
  SentinelSearch search{url, 0};
  search.sentinel_answered(Reply::error("ERR unknown command 'SENTINEL', with args beginning with: ..."));
  EXPECT_EQ(search.failure().code, Errc::kWrongTopology);
  EXPECT_THAT(search.failure().detail, HasSubstr("is no sentinel; the URL of a Redis server without Sentinel starts "
                                                 "with redis://"));
}

TEST_F(SentinelSearchTest, ARefusedLoginAtTheSentinelsIsThatError) {
  for (int i = 0; i < 3; ++i) search_.sentinel_answered(Reply::error("NOAUTH Authentication required."));
  EXPECT_EQ(search_.failure().code, Errc::kAuthRequired);
}

TEST_F(SentinelSearchTest, ARefusedLoginAtThePrimaryIsThatError) {
  search_.sentinel_answered(address("p", "1"));
  search_.primary_failed({Errc::kAuthFailed, false, "server p:1: AUTH or SELECT was refused"});
  search_.sentinel_failed(refused("sentinel b"));
  search_.sentinel_failed(refused("sentinel c"));
  EXPECT_EQ(search_.failure().code, Errc::kAuthFailed);
  EXPECT_THAT(search_.failure().detail, HasSubstr("server p:1: AUTH or SELECT was refused"));
}

TEST_F(SentinelSearchTest, ForbiddenRoleNamesTheRight) {
  search_.sentinel_answered(address("p", "1"));
  search_.primary_answered(Reply::error("NOPERM User app has no permissions to run the 'role' command"));
  search_.sentinel_failed(refused("b"));
  search_.sentinel_failed(refused("c"));
  EXPECT_EQ(search_.failure().code, Errc::kPermissionDenied);
  EXPECT_THAT(search_.failure().detail, HasSubstr("the user needs +role"));
}

TEST_F(SentinelSearchTest, RepliesThatAreNoAddressAreNotTrusted) {
  for (const Reply& reply :
       {Reply::integer(1), Reply::string("x"), Reply::array({Reply::string("h")}), address("h", "0"), address("h", "x"),
        address("h", "65536"), address("", "1"), address(std::string(256, 'h'), "1"),
        Reply::array({Reply::string("h"), Reply::string("1"), Reply::string("2")})}) {
    SentinelSearch search{url_, 0};
    search.sentinel_answered(reply);
    EXPECT_EQ(search.action(), Action::kAskSentinel);
    EXPECT_EQ(search.sentinel(), 1U);
  }
  for (const Reply& reply : {Reply::integer(1), Reply{}, Reply::array({}), role("sentinel"), Reply::string("master")}) {
    SentinelSearch search{url_, 0};
    search.sentinel_answered(address("p", "1"));
    search.primary_answered(reply);
    EXPECT_EQ(search.action(), Action::kAskSentinel);
  }
}

TEST_F(SentinelSearchTest, TheMessageOfManySentinelsIsBounded) {
  std::string hosts = "h0";
  for (int i = 1; i < 64; ++i) hosts += ",h" + std::to_string(i);
  const Url url = Url::parse("redis+sentinel://" + hosts + "/main");
  SentinelSearch search{url, 5};
  for (int i = 0; i < 64; ++i) search.sentinel_failed(refused(std::string(40, 'x')));
  EXPECT_EQ(search.action(), Action::kFailed);
  EXPECT_LT(search.failure().detail.size(), 2000U);
}

TEST_F(SentinelSearchTest, ATimeoutEndsTheSearch) {
  search_.sentinel_failed(refused("sentinel a"));
  search_.timed_out();
  EXPECT_EQ(search_.action(), Action::kFailed);
  EXPECT_EQ(search_.failure().code, Errc::kConnectFailed);
  EXPECT_THAT(search_.failure().detail, HasSubstr("no answer within connect_timeout"));
}

}  // namespace
}  // namespace tollgate
