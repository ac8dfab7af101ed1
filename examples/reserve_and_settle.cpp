// Reserve before an LLM call, settle after it: reserve_and_settle [url]

#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <tollgate/redis_rate_limiter.hpp>

namespace {

/// Stands for your LLM: returns the tokens that it used, or fails.
std::int64_t ask_model(const std::string& prompt) {
  if (prompt == "crash") throw std::runtime_error("the model is overloaded");
  return 350;
}

void handle(tollgate::RedisRateLimiter& limiter, const std::string& prompt, std::int64_t estimate) {
  tollgate::Reservation reservation = limiter.reserve("user_42", estimate);
  if (!reservation.allowed()) {
    std::cout << prompt << ": denied\n";
    return;
  }
  try {
    const std::int64_t used = ask_model(prompt);
    reservation.settle(used);
    std::cout << prompt << ": " << estimate << " reserved, " << used << " used\n";
  } catch (const std::runtime_error& error) {
    reservation.cancel();  // without this, the estimate would stay charged
    std::cout << prompt << ": " << error.what() << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tollgate::RedisRateLimiter limiter{argc > 1 ? argv[1] : "memory://", {.max_tokens_per_minute = 1'000}};
    handle(limiter, "hello", 500);
    handle(limiter, "crash", 500);
    handle(limiter, "a short one", 100);  // uses more than it reserved
    handle(limiter, "a long one", 500);
    std::cout << limiter.get_remaining("user_42") << " left\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
