// URLs in the forms that templates and other clients write, on a real Redis.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

class UrlOnRedis : public ::testing::Test {
 protected:
  [[nodiscard]] std::string url(const std::string& scheme, const std::string& login,
                                const std::string& rest = {}) const {
    return scheme + "://" + login + "127.0.0.1:" + std::to_string(server_.port()) + rest;
  }
  static void ping(const std::string& url) { RedisRateLimiter{url}.ping(); }

  const testing::RedisServer server_;
};

TEST_F(UrlOnRedis, SendsNoAuthWithoutAPassword) {
  for (const char* login : {"", "@", ":@", "app@"}) EXPECT_NO_THROW(ping(url("redis", login))) << login;
  EXPECT_NO_THROW(ping("unix://app@" + server_.unix_url().substr(7)));
}

TEST_F(UrlOnRedis, SendsAuthWithAnEmptyPassword) {
  EXPECT_THROW(ping(url("redis", "app:@")), ServerError);
  server_.command({"ACL", "SETUSER", "app", "on", ">", "+ping", "+eval"});
  EXPECT_NO_THROW(ping(url("redis", "app:@")));
}

TEST_F(UrlOnRedis, SelectsTheDatabaseOfItsQuery) {
  RedisRateLimiter limiter{url("valkey", "", "?db=3")};
  EXPECT_TRUE(limiter.check_and_consume("user_42", 1));
  EXPECT_THAT(server_.command({"INFO", "keyspace"}).text(), ::testing::HasSubstr("db3:keys=1"));
}

}  // namespace
}  // namespace tollgate::tests
