// One side's decisions, to be counted by callgrind: scripts/check-instructions runs it.
// Usage: instructions                        names the sides
//        instructions <side> <decisions>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "plain_limiter.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_cluster.hpp"
#include "tollgate/testing/redis_server.hpp"

// In place of the C library's, for the whole program. Under callgrind a decision takes a hundred times as long, and
// longer where others are at work: what tollgate does after a silence, and when a minute turns, would be counted as it
// comes. Here the time depends on nothing but how often it was asked for.
extern "C" int clock_gettime(clockid_t /*clock*/, timespec* tp) noexcept {
  static std::int64_t microseconds = 1'700'000'010'000'000;  // 30 s into a minute
  ++microseconds;
  *tp = {microseconds / 1'000'000, microseconds % 1'000'000 * 1000};
  return 0;
}

namespace {

constexpr std::int64_t kLimit = 1'000'000'000'000;

/// What is counted; by this name.
[[gnu::noinline]] void repeat(int decisions, const std::function<bool()>& decide, bool expected) {
  for (int i = 0; i < decisions; ++i) {
    if (decide() != expected) throw std::runtime_error("not the expected decision");
  }
}

void plain(int decisions) {
  const tollgate::testing::RedisServer server;
  tollgate::tests::PlainLimiter limiter{server.port()};
  const std::string user = "user_1";
  repeat(
      decisions, [&] { return limiter.check_and_consume(user); }, true);
}

void consume(tollgate::RedisRateLimiter& limiter, int decisions, bool expected) {
  repeat(
      decisions, [&] { return limiter.check_and_consume("user_1"); }, expected);
}

void tollgate_on_redis(int decisions) {
  const tollgate::testing::RedisServer server;
  tollgate::RedisRateLimiter limiter{server.url() + "?command_timeout_ms=60000", {.max_tokens_per_minute = kLimit}};
  consume(limiter, decisions, true);
}

void cluster(int decisions) {
  const tollgate::testing::RedisCluster three_primaries;
  const std::string url = three_primaries.url() + "?command_timeout_ms=60000";
  tollgate::RedisRateLimiter limiter{url, {.max_tokens_per_minute = kLimit}};
  consume(limiter, decisions, true);
}

void memory(int decisions) {
  tollgate::RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = kLimit}};
  consume(limiter, decisions, true);
}

void remembered_denial(int decisions) {
  tollgate::RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = 1, .deny_memory = std::chrono::minutes{1}}};
  static_cast<void>(limiter.check_and_consume("user_1"));
  consume(limiter, decisions, false);
}

// One line adds a side; then scripts/check-instructions --update.
const std::map<std::string_view, void (*)(int decisions)> kSides{
    {"plain", plain},   {"tollgate", tollgate_on_redis},          {"cluster", cluster},
    {"memory", memory}, {"remembered_denial", remembered_denial},
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 1) {
    for (const auto& [name, side] : kSides) fmt::print("{}\n", name);
  } else if (argc == 3 && kSides.contains(argv[1])) {
    kSides.at(argv[1])(std::atoi(argv[2]));
  } else {
    throw std::runtime_error("usage: instructions [<side> <decisions>]");
  }
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
