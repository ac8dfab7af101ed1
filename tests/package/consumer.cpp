// A user's first program, built in every way in which tollgate can be consumed.
#include <iostream>
#include <tollgate/error.hpp>
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
  // Uses code that needs hiredis, so that it is linked too. Its errors are caught by their type, also across the border
  // of a shared library. Nothing listens on port 1.
  bool reports_no_redis = false;
  try {
    tollgate::RedisRateLimiter{"redis://127.0.0.1:1"}.ping();
  } catch (const tollgate::ConnectionError& error) {
    std::cout << error.what() << '\n';
    reports_no_redis = true;
  }
  return fits && !impossible.allowed && refuses_bad_url && reports_no_redis ? 0 : 1;
}
