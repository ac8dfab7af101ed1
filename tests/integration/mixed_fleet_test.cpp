// Four tollgate processes and a plain client, which does what the Python service does, on one user's budget for 20 s.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "decisions/keys.hpp"
#include "integration/plain_client.hpp"
#include "integration/processes.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kDuration = 20s;
constexpr std::int64_t kLimit = 20'000'000;

struct Counters {
  std::atomic<std::int64_t> admitted{0};
  std::atomic<std::int64_t> added{0};
  std::atomic<std::int64_t> calls{0};
  std::atomic<std::int64_t> denied{0};
};

TEST(MixedFleet, ShareOneBudgetForTwentySecondsExactly) {
  testing::RedisServer server;
  const auto clock = std::make_shared<testing::ManualClock>();
  const std::string key{
      decisions::Key::counter(RateLimitConfig{}.key_prefix, "shared", decisions::window_at(clock->now())).view()};
  const tests::SharedCounters<Counters> counters;
  const auto end = Clock::now() + kDuration;
  tests::Processes processes;

  for (unsigned i = 0; i < 4; ++i) {
    processes.start([&, i] {
      const auto client = connect(server.url(), {.connect_timeout = 5s, .command_timeout = 5s});
      // Two remember denials, two send every request; one of each kind admits by script.
      RedisRateLimiter limiter{client,
                               {.max_tokens_per_minute = kLimit,
                                .admission = i < 2 ? Admission::kPipelined : Admission::kAtomic,
                                .deny_memory = i % 2 == 0 ? 1000ms : 0ms,
                                .clock = clock}};
      std::minstd_rand random{i + 1};
      while (Clock::now() < end) {
        const std::int64_t tokens = 1 + static_cast<std::int64_t>(random() % 200);
        ++counters->calls;
        if (random() % 8 == 0) {
          const std::vector<ConsumeRequest> many{{"shared", tokens}, {"another", 1}, {"shared", 1}, {"shared", 2}};
          const auto decisions = limiter.consume_all(many);
          for (const std::size_t own : {0U, 2U, 3U}) {
            if (decisions[own].allowed) counters->admitted += many[own].tokens;
          }
          continue;
        }
        if (limiter.check_and_consume("shared", tokens)) {
          counters->admitted += tokens;
        } else {
          ++counters->denied;
        }
        if (counters->admitted + counters->added > kLimit) throw std::runtime_error("over-admitted");
      }
      if (!client->drain(Clock::now() + 5s)) throw std::runtime_error("not drained");
    });
  }
  processes.start([&] {
    tests::PlainClient plain{server.port(), kLimit};
    std::minstd_rand random{99};
    while (Clock::now() < end) {
      const auto tokens = 1 + static_cast<long long>(random() % 200);
      if (plain.check_and_consume(key, tokens)) counters->added += tokens;
    }
  });

  EXPECT_EQ(processes.join(), 0);
  const std::int64_t total = counters->admitted + counters->added;
  std::cout << counters->calls << " calls, " << counters->denied << " denied; admitted " << counters->admitted
            << " + added " << counters->added << " = " << total << " of " << kLimit << '\n';
  EXPECT_GT(counters->admitted, 0);
  EXPECT_GT(counters->added, 0);
  EXPECT_LE(total, kLimit);
  EXPECT_EQ(server.command({"GET", key}).to_integer(), total);
  EXPECT_TRUE(server.keys_without_ttl().empty());
}

}  // namespace
}  // namespace tollgate
