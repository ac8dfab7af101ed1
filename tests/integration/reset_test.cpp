// reset() in a large keyspace: finds every window of its user, leaves everything else alone, and holds up nobody.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>

#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;

TEST(Reset, AmongAMillionKeysDeletesOneUserAndDelaysNoOtherCommand) {
  constexpr std::int64_t kKeys = 1'000'000;
  testing::RedisServer server{{"--enable-debug-command", "local"}};
  server.command({"DEBUG", "POPULATE", std::to_string(kKeys), "ractogateway:ratelimit:somebody", "8"});
  ASSERT_EQ(server.command({"DBSIZE"}).to_integer(), kKeys);

  const auto clock = std::make_shared<testing::ManualClock>();
  RedisRateLimiter limiter{connect(server.url(), {.command_timeout = 5s}), {.clock = clock}};
  // Ten windows: the current, both adjacent ones, and some that only SCAN can find.
  for (int minute = -5; minute < 5; ++minute) {
    clock->set(testing::ManualClock::kStart + std::chrono::minutes{minute});
    ASSERT_TRUE(limiter.check_and_consume("user_1", 5));
    ASSERT_TRUE(limiter.check_and_consume("user_1:1", 5));
  }
  clock->set(testing::ManualClock::kStart);

  server.command({"CONFIG", "SET", "slowlog-log-slower-than", "0"});
  server.command({"CONFIG", "SET", "slowlog-max-len", "100000"});
  server.command({"SLOWLOG", "RESET"});
  const auto start = std::chrono::steady_clock::now();
  limiter.reset("user_1");
  const auto took = std::chrono::steady_clock::now() - start;

  EXPECT_EQ(server.command({"DBSIZE"}).to_integer(), kKeys + 10);
  EXPECT_EQ(limiter.get_remaining("user_1"), 10'000);
  EXPECT_EQ(limiter.get_remaining("user_1:1"), 9'995);

  // Redis itself says how long each command kept everybody else waiting.
  std::int64_t longest = 0;
  std::int64_t commands = 0;
  const Reply log = server.command({"SLOWLOG", "GET", "-1"});
  for (const Reply& entry : log.elements()) {
    const std::string& name = entry.elements()[3].elements()[0].text();
    if (name != "SCAN" && name != "UNLINK") continue;
    ++commands;
    longest = std::max(longest, entry.elements()[2].to_integer().value_or(0));
  }
  std::cout << "reset among " << kKeys
            << " keys: " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms, " << commands
            << " commands, the longest held Redis for " << longest << " us\n";
  EXPECT_GT(commands, 1000);
  EXPECT_LT(longest, 100'000);
  server.command({"FLUSHALL"});
}

TEST(Reset, HeedsADeadlineForTheWhole) {
  testing::RedisServer server{{"--enable-debug-command", "local"}};
  server.command({"DEBUG", "POPULATE", "1000000", "key", "8"});
  RedisRateLimiter limiter{server.url()};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(limiter.reset("user_1", {.deadline = start + 20ms}), TimeoutError);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
  server.command({"FLUSHALL"});
}

}  // namespace
}  // namespace tollgate
