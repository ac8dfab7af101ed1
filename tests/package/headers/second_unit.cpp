#include "everything.hpp"
#include "units.hpp"

units::Seen units::second() {
  return {reinterpret_cast<const void*>(&tollgate::system_clock), &tollgate::kMaxTokens, &tollgate::error_category(),
          &tollgate::LatencyHistogram::kBuckets};
}

bool units::admits() {
  const auto client = std::make_shared<testing::NiceMock<tollgate::testing::MockRedisClient>>();
  tollgate::testing::admits(*client);
  tollgate::RedisRateLimiter limiter{client};
  return limiter.check_and_consume("user_42", 1);
}
