// What sharing one pipelined connection brings, and what admission costs, side by side in one run:
// - throughput: N threads on one limiter against N threads with a connection each in plain hiredis, decisions per
//   second and Redis's CPU time per decision;
// - the same for kAtomic against kPipelined, both on one shared client. Where Redis is the bottleneck, the ratio of
//   decisions per second is the inverse of the ratio of Redis's CPU times;
// - a lone caller: the median latency against a loop that appends INCRBY and EXPIRE and reads both replies.
// Usage: pipelining [rounds [seconds per round [threads …]]]      (default 5 rounds of 2 s, 64 threads)
// Each round runs both sides in turn on a private redis-server; printed are the medians and their spread.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "plain_limiter.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace {

using tollgate::tests::PlainLimiter;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kLimit = 1'000'000'000'000;
constexpr int kUsers = 64;

double server_cpu_seconds(const tollgate::testing::RedisServer& server) {
  const std::string info = server.command({"INFO", "cpu"}).text();
  const auto field = [&](const std::string& name) { return std::stod(info.substr(info.find(name) + name.size())); };
  return field("used_cpu_sys:") + field("used_cpu_user:");
}

struct Measured {
  double per_second = 0;
  double redis_us = 0;
};

Measured run_threads(const tollgate::testing::RedisServer& server, int threads, double seconds,
                     const std::function<std::function<void()>(int thread)>& make) {
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> decisions{0};
  std::vector<std::thread> pool;
  pool.reserve(static_cast<std::size_t>(threads));
  const double cpu_before = server_cpu_seconds(server);
  const auto start = Clock::now();
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&, i] {
      const auto decide = make(i);
      std::int64_t count = 0;
      for (; !stop.load(std::memory_order_relaxed); ++count) decide();
      decisions += count;
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  for (std::thread& thread : pool) thread.join();
  const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  const double count = static_cast<double>(decisions.load());
  return {count / elapsed, (server_cpu_seconds(server) - cpu_before) * 1e6 / count};
}

std::string user_of(int thread) { return "user_" + std::to_string(thread % kUsers); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return fmt::format("{:.2f} ({:.2f} … {:.2f})", median(values), values.front(), values.back());
}

using Side = std::function<Measured()>;

/// Runs both sides in turn and prints ours, and its ratios to the reference.
void compare_throughput(const std::string& name, int rounds, const Side& our_side, const Side& reference_side) {
  std::vector<double> speedups;
  std::vector<double> cpu_ratios;
  std::vector<double> reference_rates;
  std::vector<double> rates;
  std::vector<double> cpu;
  for (int round = 0; round < rounds; ++round) {
    const Measured reference = reference_side();
    const Measured ours = our_side();
    speedups.push_back(ours.per_second / reference.per_second);
    cpu_ratios.push_back(ours.redis_us / reference.redis_us);
    reference_rates.push_back(reference.per_second / 1000);
    rates.push_back(ours.per_second / 1000);
    cpu.push_back(ours.redis_us);
  }
  fmt::print("{}: {:.1f} k/s against {:.1f} k/s: ratio {}; Redis CPU {:.1f} us per decision: ratio {}\n", name,
             median(rates), median(reference_rates), spread(speedups), median(cpu), spread(cpu_ratios));
}

Measured run_connection_per_thread(const tollgate::testing::RedisServer& server, int threads, double seconds) {
  return run_threads(server, threads, seconds, [&](int thread) -> std::function<void()> {
    auto limiter = std::make_shared<PlainLimiter>(server.port());
    return [limiter, user = user_of(thread)] {
      if (!limiter->check_and_consume(user)) std::abort();
    };
  });
}

Measured run_shared(const tollgate::testing::RedisServer& server, int threads, double seconds,
                    tollgate::Admission admission) {
  tollgate::RedisRateLimiter limiter{server.url(), {.max_tokens_per_minute = kLimit, .admission = admission}};
  return run_threads(server, threads, seconds, [&](int thread) -> std::function<void()> {
    return [&limiter, user = user_of(thread)] {
      if (!limiter.check_and_consume(user)) std::abort();
    };
  });
}

double median_latency_us(const std::function<void()>& decide) {
  constexpr int kCalls = 5000;
  std::vector<double> latencies;
  latencies.reserve(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    const auto start = Clock::now();
    decide();
    latencies.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  return median(std::move(latencies));
}

void compare_lone_caller(const tollgate::testing::RedisServer& server, int rounds) {
  PlainLimiter plain{server.port()};
  tollgate::RedisRateLimiter limiter{server.url(), {.max_tokens_per_minute = kLimit}};
  std::vector<double> ratios;
  std::vector<double> ours;
  for (int round = 0; round < rounds; ++round) {
    const double plain_us = median_latency_us([&] {
      if (!plain.check_and_consume("user_1")) std::abort();
    });
    const double our_us = median_latency_us([&] {
      if (!limiter.check_and_consume("user_1")) std::abort();
    });
    ratios.push_back(our_us / plain_us);
    ours.push_back(our_us);
  }
  fmt::print("lone caller: p50 {:.1f} us; ratio to plain hiredis {}\n", median(ours), spread(ratios));
}

}  // namespace

int main(int argc, char** argv) try {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  const double seconds = argc > 2 ? std::max(0.1, std::atof(argv[2])) : 2.0;
  std::vector<int> threads;
  for (int i = 3; i < argc; ++i) threads.push_back(std::max(1, std::atoi(argv[i])));
  if (threads.empty()) threads.push_back(64);

  const tollgate::testing::RedisServer server;
  const auto shared = [&](int count, tollgate::Admission admission) -> Side {
    return [&server, count, seconds, admission] { return run_shared(server, count, seconds, admission); };
  };
  for (const int count : threads) {
    compare_throughput(fmt::format("{:3} threads, one client : a connection per thread", count), rounds,
                       shared(count, tollgate::Admission::kPipelined),
                       [&] { return run_connection_per_thread(server, count, seconds); });
  }
  for (const int count : threads) {
    compare_throughput(fmt::format("{:3} threads, kAtomic : kPipelined", count), rounds,
                       shared(count, tollgate::Admission::kAtomic), shared(count, tollgate::Admission::kPipelined));
  }
  compare_lone_caller(server, 5 * rounds);
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
