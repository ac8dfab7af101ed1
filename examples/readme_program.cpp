#include <exception>
#include <iostream>
#include <tollgate/redis_rate_limiter.hpp>

int main(int argc, char** argv) {
  const char* url = argc > 1 ? argv[1] : "memory://";  // or "redis://localhost:6379/0"
  try {
    tollgate::RedisRateLimiter limiter{url, {.max_tokens_per_minute = 5'000}};

    for (const int estimate : {1'200, 3'000, 2'500}) {
      tollgate::Reservation reservation = limiter.reserve("user_42", estimate);  // one round trip, charged now
      if (!reservation.allowed()) {  // HTTP 429, Retry-After: decision().retry_after
        std::cout << estimate << " tokens: denied, " << reservation.decision().remaining.value_or(0) << " left\n";
        continue;
      }
      const int used = estimate - 300;  // as your LLM says when its answer is complete
      reservation.settle(used);         // the rest goes back; returns at once
      std::cout << estimate << " tokens: allowed, " << used << " used\n";
    }
  } catch (const std::exception& error) {  // Redis could not be asked, or the URL is wrong
    std::cerr << error.what() << '\n';
    return 1;
  }
}
