// A user's shared library that has tollgate inside; linked by a program that does not link tollgate.
#include <tollgate/redis_rate_limiter.hpp>

bool user_library_admits(int tokens);

bool user_library_admits(int tokens) {
  tollgate::RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = 100}};
  return limiter.check_and_consume("user_42", tokens);
}
