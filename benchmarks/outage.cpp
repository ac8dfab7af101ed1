// The cost of an outage for the handlers: 64 threads under kAllow on one client while redis-server is frozen (SIGSTOP).
// Printed per round: how long the circuit breaker took to open; then, until the server is back, the calls and their
// latency; how long after its return the first decision through Redis came; and by how much any call of the round
// outlived the command timeout (250 ms).
// Usage: outage [rounds [seconds frozen [threads]]]      (default 5 rounds of 4 s, 64 threads)
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace {

using Clock = std::chrono::steady_clock;

/// Takes down when the circuit opened.
class Watch final : public tollgate::Observer {
 public:
  void on_event(const tollgate::Event& event) noexcept override {
    if (event.kind == tollgate::EventKind::kCircuitOpened) opened_at_ = Clock::now().time_since_epoch().count();
  }
  [[nodiscard]] Clock::time_point opened_at() const { return Clock::time_point{Clock::duration{opened_at_}}; }

 private:
  std::atomic<Clock::rep> opened_at_{0};
};

struct Call {
  Clock::time_point start;
  Clock::time_point end;
  bool by_redis;
};

double ms(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

double microseconds_at(const std::vector<Clock::duration>& sorted, double quantile) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<std::size_t>(quantile * static_cast<double>(sorted.size() - 1));
  return std::chrono::duration<double, std::micro>(sorted[index]).count();
}

void run(std::chrono::seconds frozen, int threads) {
  tollgate::testing::RedisServer server;
  const auto watch = std::make_shared<Watch>();
  tollgate::RedisRateLimiter limiter{
      tollgate::connect(server.url(), {.observer = watch}),
      {.max_tokens_per_minute = tollgate::kMaxTokens, .on_failure = tollgate::FailurePolicy::kAllow}};

  std::atomic<bool> stop{false};
  std::vector<std::vector<Call>> calls(static_cast<std::size_t>(threads));
  std::vector<std::thread> pool;
  pool.reserve(calls.size());
  for (std::vector<Call>& mine : calls) {
    mine.reserve(1'000'000);
    pool.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const auto start = Clock::now();
        const bool by_redis = limiter.consume("user", 1).source == tollgate::Source::kRedis;
        mine.push_back({start, Clock::now(), by_redis});
        std::this_thread::sleep_for(std::chrono::milliseconds{1});  // the handler's own work
      }
    });
  }

  std::this_thread::sleep_for(std::chrono::milliseconds{500});
  server.pause();
  const auto paused_at = Clock::now();
  std::this_thread::sleep_for(frozen);
  const auto resumed_at = Clock::now();
  server.resume();
  std::this_thread::sleep_for(std::chrono::seconds{2});
  stop = true;
  for (std::thread& thread : pool) thread.join();

  const auto opened_at = watch->opened_at();
  auto back_at = Clock::time_point::max();
  std::vector<Clock::duration> latencies;
  Clock::duration longest{0};
  for (const std::vector<Call>& mine : calls) {
    for (const Call& call : mine) {
      longest = std::max(longest, call.end - call.start);
      if (call.start > opened_at && call.start < resumed_at) latencies.push_back(call.end - call.start);
      if (call.by_redis && call.end > resumed_at) back_at = std::min(back_at, call.end);
    }
  }
  std::sort(latencies.begin(), latencies.end());
  const auto waited = std::count_if(latencies.begin(), latencies.end(),
                                    [](Clock::duration latency) { return latency > std::chrono::milliseconds{10}; });
  fmt::print("| {:.0f} ms | {} | {:.1f} µs | {:.0f} µs | {:.0f} µs | {} | {:.0f} ms | {:.1f} ms |\n",
             ms(opened_at - paused_at), latencies.size(), microseconds_at(latencies, 0.5),
             microseconds_at(latencies, 0.99), microseconds_at(latencies, 0.999), waited, ms(back_at - resumed_at),
             std::max(0.0, ms(longest - tollgate::ClientOptions{}.command_timeout)));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
    const std::chrono::seconds frozen{argc > 2 ? std::atoi(argv[2]) : 4};
    const int threads = argc > 3 ? std::atoi(argv[3]) : 64;
    fmt::print("{} threads, kAllow, redis-server frozen for {} s\n\n", threads, frozen.count());
    fmt::print(
        "| opened after | calls while open | p50 | p99 | p99.9 | waited > 10 ms (probes) | back after | past the "
        "timeout |\n");
    fmt::print("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (int round = 0; round < rounds; ++round) run(frozen, threads);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
