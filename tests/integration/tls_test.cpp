#include <gtest/gtest.h>
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"
namespace tollgate {
namespace {
TEST(Tls, Works) {
  testing::TlsCertificates certificates;
  testing::RedisServer server{certificates};
  RedisRateLimiter limiter{
      connect("rediss://127.0.0.1:" + std::to_string(server.port()), {.tls = {.ca_file = certificates.ca_file()}}), {}};
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(limiter.get_remaining("u"), 9000);
}
}
}
