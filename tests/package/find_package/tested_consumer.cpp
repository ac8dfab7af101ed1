// A user's test: the mock, the clock and the private redis-server are there, linked through tollgate::testing alone.
#include <gmock/gmock.h>

#include <memory>
#include <tollgate/redis_rate_limiter.hpp>
#include <tollgate/testing/manual_clock.hpp>
#include <tollgate/testing/mock_redis_client.hpp>
#include <tollgate/testing/redis_server.hpp>

int main() {
  const auto client = std::make_shared<testing::NiceMock<tollgate::testing::MockRedisClient>>();
  tollgate::RedisRateLimiter limiter{client, {.clock = std::make_shared<tollgate::testing::ManualClock>()}};
  tollgate::testing::admits(*client);
  const bool admitted = limiter.check_and_consume("user_42", 1);
  tollgate::testing::denies(*client);
  const bool denied = !limiter.check_and_consume("user_42", 1);

  const tollgate::testing::RedisServer server;
  const bool answers = server.command({"PING"}).text() == "PONG";
  return admitted && denied && answers ? 0 : 1;
}
