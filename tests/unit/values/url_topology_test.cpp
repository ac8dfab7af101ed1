// The forms of a URL that name several servers, and those with TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "unit/values/error_text.hpp"
#include "values/url.hpp"

namespace tollgate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string rejected(std::string_view text) {
  return rejection([text] { static_cast<void>(Url::parse(text)); });
}

TEST(UrlOfSeveralHosts, ReadsEverySchemeWithEveryTopology) {
  for (const auto& [scheme, is_encrypted] : {std::pair<std::string, bool>{"redis", false},
                                             {"valkey", false},
                                             {"rediss", true},
                                             {"valkeys", true},
                                             {"REDISS", true}}) {
    EXPECT_EQ(Url::parse(scheme + "://h").topology(), Topology::kStandalone) << scheme;
    EXPECT_EQ(Url::parse(scheme + "+sentinel://h/main").topology(), Topology::kSentinel) << scheme;
    EXPECT_EQ(Url::parse(scheme + "+Cluster://h").topology(), Topology::kCluster) << scheme;
    EXPECT_EQ(Url::parse(scheme + "+cluster://h").is_encrypted(), is_encrypted) << scheme;
    EXPECT_EQ(Url::parse(scheme + "://h").endpoint().is_encrypted, is_encrypted) << scheme;
  }
  EXPECT_FALSE(Url::parse("unix:///s").is_encrypted());
  EXPECT_EQ(Url::parse("memory://").topology(), Topology::kStandalone);
}

TEST(UrlOfSeveralHosts, ReadsTheNodesOfACluster) {
  const Url url = Url::parse("redis+cluster://app:p,w@a:7000,b,[::1]:7001?connect_timeout_ms=5");
  EXPECT_THAT(url.hosts(), ElementsAre(HostAndPort{"a", 7000}, HostAndPort{"b", 6379}, HostAndPort{"::1", 7001}));
  EXPECT_EQ(url.host(), "a");
  EXPECT_EQ(url.port(), 7000);
  EXPECT_EQ(url.username(), "app");
  EXPECT_EQ(url.password(), "p,w");
  EXPECT_EQ(url.connect_timeout(), std::chrono::milliseconds{5});
  EXPECT_EQ(url.to_string(), "redis+cluster://a:7000,b:6379,[::1]:7001");
}

TEST(UrlOfSeveralHosts, ReadsTheSentinelsOfAService) {
  const Url url =
      Url::parse("valkeys+sentinel://app:pw@a:1,b,c:65535/my%2Fmain/3?sentinel_user=watch&sentinel_password=s%40cret");
  EXPECT_THAT(url.hosts(), ElementsAre(HostAndPort{"a", 1}, HostAndPort{"b", 26379}, HostAndPort{"c", 65535}));
  EXPECT_EQ(url.service(), "my/main");
  EXPECT_EQ(url.database(), 3);
  ASSERT_TRUE(url.login(nullptr).fixed);
  EXPECT_EQ(url.login(nullptr).fixed->password, "pw");
  EXPECT_EQ(url.login(nullptr).database, 3);
  ASSERT_TRUE(url.sentinel_login().fixed);
  EXPECT_EQ(url.sentinel_login().fixed->username, "watch");
  EXPECT_EQ(url.sentinel_login().fixed->password, "s@cret");
  EXPECT_EQ(url.sentinel_login().database, 0);
  EXPECT_EQ(url.to_string(), "rediss+sentinel://a:1,b:26379,c:65535/my%2Fmain/3");
}

TEST(UrlOfSeveralHosts, LogsInAtSentinelsOnlyWithAPasswordOfTheirOwn) {
  EXPECT_FALSE(Url::parse("redis+sentinel://app:pw@a/main").sentinel_login().fixed);
  const Url url = Url::parse("redis+sentinel://a/main?sentinel_password=x");
  ASSERT_TRUE(url.sentinel_login().fixed);
  EXPECT_EQ(url.sentinel_login().fixed->username, "");
  EXPECT_FALSE(url.login(nullptr).fixed);
  EXPECT_EQ(
      rejected("redis+sentinel://a/main?sentinel_user=x"),
      "tollgate: url query has sentinel_user without sentinel_password; it must have both, or the password alone");
}

TEST(UrlOfSeveralHosts, ReadsTheDatabaseBehindTheServiceOrInTheQuery) {
  for (const char* text : {"redis+sentinel://a/main/4", "redis+sentinel://a/main?db=4", "redis+sentinel://a/main/?db=4",
                           "redis+sentinel://a/main/4?db=4"}) {
    EXPECT_EQ(Url::parse(text).database(), 4) << text;
    EXPECT_EQ(Url::parse(text).service(), "main") << text;
  }
  EXPECT_EQ(Url::parse("redis+sentinel://a/main/").database(), 0);
  EXPECT_THAT(rejected("redis+sentinel://a/main/x"), HasSubstr("database is not a decimal number"));
  EXPECT_THAT(rejected("redis+sentinel://a/main/1/2"), HasSubstr("database is not a decimal number"));
  EXPECT_THAT(rejected("redis+sentinel://a/main/1?db=2"), HasSubstr("database 1 in its path and 2 in its query"));
}

TEST(UrlOfSeveralHosts, RejectsADatabaseOtherThanZeroWithCluster) {
  EXPECT_EQ(Url::parse("redis+cluster://h/0").database(), 0);
  for (const char* text : {"redis+cluster://h/3", "redis+cluster://h?db=3"}) {
    EXPECT_EQ(rejected(text),
              "tollgate: url database is 3; with +cluster it must be 0, because a Redis Cluster has no other")
        << text;
  }
}

TEST(UrlOfSeveralHosts, RejectsASentinelUrlWithoutService) {
  for (const char* text :
       {"redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a//3", "redis+sentinel://a?db=3"}) {
    EXPECT_EQ(rejected(text),
              "tollgate: url service is 0 bytes long; with +sentinel it must be 1 … 255 bytes, as in "
              "host:port,host:port/service")
        << text;
  }
  EXPECT_THAT(rejected("redis+sentinel://a/" + std::string(256, 's')), HasSubstr("service is 256 bytes long"));
}

TEST(UrlOfSeveralHosts, RejectsSentinelAndClusterWithoutHost) {
  EXPECT_EQ(rejected("redis+sentinel:///main"),
            "tollgate: url has no host; with +sentinel it must name 1 … 64, as in host:port,host:port");
  EXPECT_EQ(rejected("redis+cluster://"),
            "tollgate: url has no host; with +cluster it must name 1 … 64, as in host:port,host:port");
  for (const char* text : {"redis+cluster://,", "redis+cluster://a,", "redis+cluster://,a", "redis+cluster://a,,b",
                           "redis+cluster://app:pw@", "redis+sentinel://a,:1/main"}) {
    EXPECT_EQ(rejected(text), "tollgate: url host is 0 bytes long; it must be 1 … 255 bytes") << text;
  }
}

TEST(UrlOfSeveralHosts, ChecksEachHost) {
  EXPECT_EQ(rejected("redis+cluster://a:1,b:70000"), "tollgate: url port is 70000; it must be 1 … 65535");
  EXPECT_THAT(rejected("redis+sentinel://a,b c/main"), StartsWith("tollgate: url host has an invalid character"));
  EXPECT_EQ(rejected("redis+cluster://a,b:6379,b"),
            "tollgate: url has the same host and port as number 2 and 3 of its hosts; each must be there once");
  std::string many = "redis+cluster://h0";
  for (int i = 1; i < 64; ++i) many += ",h" + std::to_string(i);
  EXPECT_EQ(Url::parse(many).hosts().size(), 64U);
  EXPECT_EQ(rejected(many + ",h"), "tollgate: url has 65 hosts; it must have 1 … 64");
}

TEST(UrlOfSeveralHosts, RejectsSeveralHostsOfAPlainScheme) {
  EXPECT_EQ(rejected("redis://a,b"),
            "tollgate: url has 2 hosts; it must have 1, or +sentinel or +cluster in its scheme");
}

TEST(UrlOfSeveralHosts, RejectsParametersOfAnotherTopology) {
  EXPECT_EQ(rejected("redis+cluster://h?sentinel_password=x"),
            "tollgate: url query has sentinel_password, but its scheme has no +sentinel");
  EXPECT_THAT(rejected("redis+sentinel://h/s?sentinel_password=x&sentinel_password=x"),
              HasSubstr("query has sentinel_password twice"));
  EXPECT_THAT(rejected("redis+sentinel://h/s?x=1"),
              HasSubstr("it may have connect_timeout_ms, command_timeout_ms, sentinel_user, sentinel_password and db"));
}

TEST(UrlOfSeveralHosts, ReadsWhatItWrote) {
  for (const char* text : {"redis+sentinel://a:1,[fe80::1%25eth0]:2/m%2Fn/3", "rediss+cluster://a:1,h%C3%A9:2"}) {
    EXPECT_EQ(Url::parse(text).to_string(), text);
  }
}

TEST(UrlWithTls, ReadsItsParameters) {
  const Url url = Url::parse(
      "rediss://h?ca_file=/etc/ca%20a.pem&ca_path=certs&cert_file=me.pem&key_file=me.key&server_name=cache.example");
  EXPECT_EQ(url.tls(), (TlsOptions{"/etc/ca a.pem", "certs", "me.pem", "me.key", "cache.example", true}));
  EXPECT_EQ(Url::parse("rediss+cluster://h").tls(), TlsOptions{});
  EXPECT_EQ(Url::parse("valkeys+sentinel://h/s?ca_file=x").tls().ca_file, "x");
}

TEST(UrlWithTls, RejectsItsParametersOnAPlainScheme) {
  for (const char* text : {"redis://h?ca_file=x", "redis+cluster://h?ca_file=x", "unix:///s?ca_file=x"}) {
    EXPECT_EQ(rejected(text), "tollgate: url query has ca_file, but its scheme has no TLS; it must start with rediss")
        << text;
  }
}

TEST(UrlWithTls, RejectsEmptyRepeatedAndTooLongParameters) {
  EXPECT_EQ(rejected("rediss://h?key_file="), "tollgate: url key_file is 0 bytes long; it must be 1 … 4095 bytes");
  EXPECT_EQ(rejected("rediss://h?server_name=" + std::string(256, 'n')),
            "tollgate: url server_name is 256 bytes long; it must be 1 … 255 bytes");
  EXPECT_THAT(rejected("rediss://h?ca_path=a&ca_path=b"), HasSubstr("query has ca_path twice"));
}

TEST(UrlWithTls, CannotTurnOffTheCheckOfCertificates) {
  for (const char* text : {"rediss://h?verify=false", "rediss+cluster://h?verify=0", "redis://h?verify=1"}) {
    EXPECT_EQ(rejected(text),
              "tollgate: url query has verify; the check of certificates can only be turned off by TlsOptions::verify")
        << text;
  }
}

TEST(UrlOfSeveralHosts, NeverPrintsAPasswordWhereverItIs) {
  for (const char* text :
       {"redis+sentinel://a/main?sentinel_password=hunter2&x=1", "redis+sentinel://a?sentinel_password=hunter2",
        "redis+sentinel://a/main?sentinel_user=hunter2", "redis+cluster://a?sentinel_password=hunter2",
        "redis+cluster://u:hunter2@a,a", "redis+cluster://u:x,hunter2,hunter2", "redis+sentinel://u:hunter2/main"}) {
    EXPECT_THAT(rejected(text), ::testing::Not(HasSubstr("hunter2"))) << text;
  }
}

}  // namespace
}  // namespace tollgate
