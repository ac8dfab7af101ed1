/// Bug B's experiment: while 16 processes loop on a large request that never fits, another makes 2000 requests of one
/// token, all of which fit, spread over several deny memories. How many of those are denied?
/// Thread safety: one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "decisions/keys.hpp"
#include "integration/plain_client.hpp"
#include "integration/processes.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {

enum class Loopers { kRemembering, kForgetting, kPlain, kAtomic };

struct FalseDenials {
  static constexpr int kRequests = 2000;
  int denied = 0;
  long long loops = 0;  // that the loopers made meanwhile, all denied
};

/// The one-token process admits as the loopers do where these are tollgate's, and remembers denials as by default.
inline FalseDenials count_false_denials(Loopers kind) {
  using namespace std::chrono_literals;
  constexpr int kLoopers = 16;
  constexpr auto kPace = 2ms;  // 4 s in all: remembered denials of the loopers expire meanwhile
  constexpr std::int64_t kLimit = 10'000;
  constexpr std::int64_t kUsed = 1;        // and 2000 more by the end: 2001 at most
  constexpr std::int64_t kLarge = 10'000;  // never fits

  testing::RedisServer server;
  // The minute does not advance, so that no new window begins, while the steady clock of the deny memory is the
  // system's.
  class OneMinute final : public Clock {
   public:
    std::chrono::system_clock::time_point now() const noexcept override { return testing::ManualClock::kStart; }
    std::chrono::steady_clock::time_point steady_now() const noexcept override {
      return std::chrono::steady_clock::now();
    }
  };
  RateLimitConfig config{.max_tokens_per_minute = kLimit, .clock = std::make_shared<OneMinute>()};
  if (kind == Loopers::kAtomic) config.admission = Admission::kAtomic;
  RateLimitConfig looper_config = config;
  if (kind == Loopers::kForgetting) looper_config.deny_memory = 0ms;
  const ClientOptions patient{.connect_timeout = 10s, .command_timeout = 10s};
  const std::string key{
      decisions::Key::counter(config.key_prefix, "shared", decisions::window_at(testing::ManualClock::kStart)).view()};
  server.command({"SET", key, std::to_string(kUsed), "EX", "60"});

  struct Counters {
    std::atomic<long long> loops{0};
    std::atomic<int> looping{0};
    std::atomic<int> denied{0};
    std::atomic<int> wrongly_admitted{0};
    std::atomic<bool> stop{false};
  };
  const SharedCounters<Counters> counters;
  Processes processes;
  for (int i = 0; i < kLoopers; ++i) {
    processes.start([&] {
      std::function<bool()> ask;
      std::shared_ptr<PlainClient> plain;
      std::shared_ptr<RedisRateLimiter> limiter;
      if (kind == Loopers::kPlain) {
        plain = std::make_shared<PlainClient>(server.port(), kLimit);
        ask = [&] { return plain->check_and_consume(key, kLarge); };
      } else {
        limiter = std::make_shared<RedisRateLimiter>(connect(server.url(), patient), looper_config);
        ask = [&] { return limiter->check_and_consume("shared", kLarge); };
      }
      for (bool first = true; !counters->stop; first = false) {
        if (ask()) ++counters->wrongly_admitted;
        ++counters->loops;
        if (first) ++counters->looping;
      }
    });
  }
  processes.start([&] {
    while (counters->looping < kLoopers) std::this_thread::sleep_for(1ms);
    RedisRateLimiter limiter{connect(server.url(), patient), config};
    const long long loops_before = counters->loops;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < FalseDenials::kRequests; ++i) {
      std::this_thread::sleep_until(start + i * kPace);
      if (!limiter.check_and_consume("shared", 1)) ++counters->denied;
    }
    counters->loops -= loops_before;
    counters->stop = true;
  });
  if (processes.join() != 0) throw std::runtime_error("a process failed");
  if (counters->wrongly_admitted != 0) throw std::runtime_error("a request that cannot fit was admitted");
  return {counters->denied, counters->loops};
}

}  // namespace tollgate::tests
