// One side's decisions on a private redis-server, to be counted by callgrind: scripts/check-instructions runs it.
// Usage: instructions <side> <decisions>      sides: plain, tollgate, memory, remembered_denial
#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "plain_limiter.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace {

constexpr std::int64_t kLimit = 1'000'000'000'000;

void repeat(int decisions, const std::function<bool()>& decide, bool expected) {
  for (int i = 0; i < decisions; ++i) {
    if (decide() != expected) throw std::runtime_error("not the expected decision");
  }
}

void run(std::string_view side, int decisions) {
  const tollgate::testing::RedisServer server;
  const std::string user = "user_1";
  if (side == "plain") {
    tollgate::tests::PlainLimiter limiter{server.port()};
    repeat(
        decisions, [&] { return limiter.check_and_consume(user); }, true);
  } else if (side == "tollgate") {
    tollgate::RedisRateLimiter limiter{server.url() + "?command_timeout_ms=60000", {.max_tokens_per_minute = kLimit}};
    repeat(
        decisions, [&] { return limiter.check_and_consume(user); }, true);
  } else if (side == "memory") {
    tollgate::RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = kLimit}};
    repeat(
        decisions, [&] { return limiter.check_and_consume(user); }, true);
  } else if (side == "remembered_denial") {
    tollgate::RedisRateLimiter limiter{"memory://",
                                       {.max_tokens_per_minute = 1, .deny_memory = std::chrono::minutes{1}}};
    static_cast<void>(limiter.check_and_consume(user));
    repeat(
        decisions, [&] { return limiter.check_and_consume(user); }, false);
  } else {
    throw std::runtime_error(fmt::format("no side is called {}", side));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: instructions <side> <decisions>");
  run(argv[1], std::atoi(argv[2]));
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
