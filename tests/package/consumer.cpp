// What a user's first program does, built in every way in which tollgate can be consumed.
#include <iostream>
#include <tollgate/redis_rate_limiter.hpp>

int main() {
  tollgate::RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = 100}};
  const bool fits = limiter.check_and_consume("user_42", 60);
  const tollgate::Decision impossible = limiter.consume("user_42", 101);
  bool refuses_bad_url = false;
  try {
    static_cast<void>(tollgate::connect("gopher://example"));
  } catch (const std::invalid_argument& error) {
    std::cout << error.what() << '\n';
    refuses_bad_url = true;
  }
  // Names what stands on hiredis, so that it is linked too.
  const auto over_redis = tollgate::connect("redis://localhost/0");
  return fits && !impossible.allowed && refuses_bad_url && over_redis ? 0 : 1;
}
