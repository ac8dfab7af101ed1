// A client of Sentinel: which server it finds, how it follows a failover, and what its errors say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_sentinels.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "tollgate/testing/tls_certificates.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RedisSentinels;
using testing::RedisServer;

const ClientOptions kPatient{.connect_timeout = 10s, .command_timeout = 10s};

std::string address_of(const RedisServer& server) { return "127.0.0.1:" + std::to_string(server.port()); }

std::string sentinel_url(const std::string& hosts, const std::string& service = RedisSentinels::service()) {
  return "redis+sentinel://" + hosts + '/' + service;
}

/// Whether `limiter` charges a token within 20 s.
bool is_served_soon(RedisRateLimiter& limiter) {
  for (const auto end = std::chrono::steady_clock::now() + 20s; std::chrono::steady_clock::now() < end;) {
    if (limiter.try_consume("user", 1).failure == std::error_code{}) return true;
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

Error error_of_ping(const std::string& url) {
  RedisRateLimiter limiter{connect(url, kPatient)};
  try {
    limiter.ping();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("nothing was thrown");
}

std::size_t keys_on(const RedisServer& server) {
  return static_cast<std::size_t>(server.command({"DBSIZE"}).to_integer().value_or(-1));
}

TEST(Sentinel, LeadsToThePrimary) {
  RedisSentinels redis;
  RedisRateLimiter limiter{connect(redis.url() + "/0", kPatient)};
  limiter.ping();
  EXPECT_TRUE(limiter.check_and_consume("user", 1));
  EXPECT_EQ(keys_on(redis.server(0)), 1U);
}

TEST(Sentinel, OfAServiceWithoutFollowersSelectsTheDatabase) {
  RedisSentinels redis{{.replicas = 0, .sentinels = 1}};
  RedisRateLimiter limiter{connect(redis.url() + "/3", kPatient)};
  EXPECT_TRUE(limiter.check_and_consume("user", 1));
  EXPECT_THAT(redis.server(0).command({"INFO", "keyspace"}).text(), HasSubstr("db3:keys=1"));
}

TEST(Sentinel, AndThePrimaryMayBothSpeakTls) {
  const testing::TlsCertificates certificates;
  RedisSentinels redis{{.replicas = 1, .sentinel_password = "s3cret", .certificates = &certificates}};
  ASSERT_THAT(redis.url(), ::testing::StartsWith("rediss+sentinel://"));
  RedisRateLimiter limiter{connect(redis.url(), kPatient)};
  limiter.ping();
  EXPECT_TRUE(is_served_soon(limiter));
  const RedisServer& old = redis.kill_primary();
  redis.wait_for_promotion(old);
  EXPECT_TRUE(is_served_soon(limiter));
}

TEST(Sentinel, IsPassedOverWhenItIsGoneOrSilent) {
  RedisSentinels redis{{.replicas = 0}};
  redis.sentinel(0).kill();
  redis.sentinel(1).pause();
  RedisRateLimiter limiter{connect(redis.url(), {.connect_timeout = 1s, .command_timeout = 10s})};
  limiter.ping();
  redis.sentinel(1).resume();
}

TEST(Sentinel, OfAnOldViewDoesNotWin) {
  RedisSentinels redis;
  RedisServer& old = redis.fail_over();
  redis.wait_until_replica(old);
  // A sentinel that has not heard of the promotion yet.
  RedisSentinels stale{{.replicas = 0, .sentinels = 1}};
  stale.sentinel(0).command({"SENTINEL", "DEBUG", "INFO-PERIOD", "60000"});
  stale.sentinel(0).command({"SENTINEL", "REMOVE", RedisSentinels::service()});
  stale.sentinel(0).command(
      {"SENTINEL", "MONITOR", RedisSentinels::service(), "127.0.0.1", std::to_string(old.port()), "1"});
  const std::string hosts = address_of(stale.sentinel(0)) + ',' + address_of(redis.sentinel(1));
  RedisRateLimiter limiter{connect(sentinel_url(hosts), kPatient)};
  const Reply named = stale.sentinel(0).command({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", RedisSentinels::service()});
  ASSERT_EQ(named.elements().at(1).text(), std::to_string(old.port()));
  EXPECT_TRUE(is_served_soon(limiter));
  EXPECT_EQ(old.command({"ROLE"}).elements().at(0).text(), "slave");
}

TEST(Sentinel, ADemotedPrimaryIsLeftWithoutACallPastItsDeadline) {
  RedisSentinels redis;
  RedisRateLimiter limiter{connect(redis.url(), {.connect_timeout = 1s, .command_timeout = 250ms})};
  EXPECT_TRUE(is_served_soon(limiter));
  RedisServer& old = redis.fail_over();
  RedisServer& promoted = redis.wait_for_promotion(old);
  EXPECT_TRUE(is_served_soon(limiter));
  // Until the old primary is a replica it still takes charges; afterwards none may reach it.
  redis.wait_until_replica(old);
  EXPECT_TRUE(is_served_soon(limiter));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(limiter.try_consume("later", 1).failure == std::error_code{});
  EXPECT_EQ(promoted.command({"EXISTS", "x"}), Reply::integer(0));
  const Reply keys = promoted.command({"KEYS", "*later*"});
  EXPECT_EQ(keys.elements().size(), 1U);
}

TEST(Sentinel, WithAPasswordIsAskedWithIt) {
  RedisSentinels redis{{.replicas = 0, .sentinels = 1, .sentinel_password = "s3cret"}};
  RedisRateLimiter limiter{connect(redis.url(), kPatient)};
  limiter.ping();
  const std::string plain = sentinel_url(address_of(redis.sentinel(0)));
  const Error without = error_of_ping(plain);
  EXPECT_EQ(without.code(), Errc::kAuthRequired);
  const Error wrong = error_of_ping(plain + "?sentinel_password=hunter2");
  EXPECT_EQ(wrong.code(), Errc::kAuthFailed);
  EXPECT_THAT(wrong.what(), Not(HasSubstr("hunter2")));
}

TEST(Sentinel, ErrorsNameEverySentinelThatIsNotReached) {
  RedisSentinels redis{{.replicas = 0, .sentinels = 2}};
  redis.sentinel(0).kill();
  redis.sentinel(1).kill();
  const Error error = error_of_ping(redis.url());
  EXPECT_EQ(error.code(), Errc::kConnectFailed);
  EXPECT_TRUE(error.retryable());
  EXPECT_THAT(error.what(), AllOf(HasSubstr("sentinel " + address_of(redis.sentinel(0)) + ": Connection refused"),
                                  HasSubstr("sentinel " + address_of(redis.sentinel(1)) + ": Connection refused")));
}

TEST(Sentinel, ErrorsNameAServiceThatNoSentinelHas) {
  RedisSentinels redis{{.replicas = 0, .sentinels = 1}};
  const Error error = error_of_ping(sentinel_url(address_of(redis.sentinel(0)), "nosuch"));
  EXPECT_EQ(error.code(), Errc::kWrongTopology);
  EXPECT_TRUE(error.misconfiguration());
  EXPECT_THAT(error.what(), HasSubstr("has no service \"nosuch\""));
}

TEST(Sentinel, APlainServerInItsPlaceIsNamedAndNothingIsCharged) {
  const RedisServer server;
  RedisRateLimiter limiter{connect(sentinel_url(address_of(server)), kPatient)};
  try {
    (void)limiter.consume("user", 1);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::kWrongTopology);
    EXPECT_FALSE(error.may_have_executed());
    EXPECT_THAT(error.what(),
                HasSubstr("is no sentinel; the URL of a Redis server without Sentinel starts with redis://"));
  }
  EXPECT_EQ(keys_on(server), 0U);
}

TEST(Sentinel, BehindAPlainUrlIsNamed) {
  RedisSentinels redis{{.replicas = 0, .sentinels = 1}};
  for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
    RedisRateLimiter limiter{connect("redis://" + address_of(redis.sentinel(0)), kPatient), {.admission = admission}};
    try {
      (void)limiter.consume("user", 1);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::kUnknownCommand);
      EXPECT_TRUE(error.misconfiguration());
      EXPECT_THAT(error.what(), HasSubstr("redis+sentinel://"));
    }
  }
  EXPECT_EQ(keys_on(redis.server(0)), 0U);
}

TEST(Sentinel, ADeadlineEndsACallWhileSentinelsAreSilent) {
  RedisSentinels redis{{.replicas = 0, .sentinels = 2}};
  redis.sentinel(0).pause();
  redis.sentinel(1).pause();
  RedisRateLimiter limiter{connect(redis.url(), {.connect_timeout = 10s, .command_timeout = 10s})};
  const auto begin = std::chrono::steady_clock::now();
  const Decision decision = limiter.try_consume("user", 1, {.deadline = begin + 100ms});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(decision.failure, Errc::kTimeout);
  redis.sentinel(0).resume();
  redis.sentinel(1).resume();
  EXPECT_TRUE(is_served_soon(limiter));
}

}  // namespace
}  // namespace tollgate::tests
