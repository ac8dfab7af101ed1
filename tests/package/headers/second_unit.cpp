#include "everything.hpp"
#include "units.hpp"

units::Seen units::second() {
  return {&tollgate::algorithm::kAdmitScript, &tollgate::kMaxTokens, &tollgate::error_category(),
          &tollgate::algorithm::kWindowLength};
}

bool units::admits() {
  const auto client = std::make_shared<testing::NiceMock<tollgate::testing::MockRedisClient>>();
  tollgate::testing::admits(*client);
  tollgate::RedisRateLimiter limiter{client};
  return limiter.check_and_consume("user_42", 1);
}
