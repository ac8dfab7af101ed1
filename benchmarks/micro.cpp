// What one decision is made of, without the network: google-benchmark's usual options, for instance
// micro --benchmark_filter=remembered --benchmark_repetitions=9. items_per_second is per core.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "decisions/deny_memory.hpp"
#include "decisions/fixed_window.hpp"
#include "decisions/keys.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "transport/reply_parser.hpp"
#include "transport/resp_encoder.hpp"

namespace tollgate {
namespace {

constexpr std::string_view kPrefix = "ractogateway:ratelimit";
constexpr std::string_view kUser = "user_1f3a9c04@acme.io";
constexpr std::int64_t kLimit = 1'000'000'000'000;
constexpr std::int64_t kMinute = 29'000'000;

void report(benchmark::State& state) { state.SetItemsProcessed(state.iterations()); }

/// Ids as services have them: not in order, and too long to lie inside a std::string.
std::vector<std::string> make_users(std::size_t count) {
  std::vector<std::string> users;
  for (std::size_t i = 0; i < count; ++i)
    users.push_back(fmt::format("user_{:08x}@acme.io", i * 0x9E3779B1U % (1ULL << 32U)));
  return users;
}

/// Fills a batch, so that what is timed moves none.
void charge(CommandBatch& batch) {
  static const decisions::FixedWindow window{kLimit, std::string{kPrefix}, Admission::kPipelined};
  window.charge({kUser, 1'200, std::chrono::system_clock::time_point{std::chrono::minutes{kMinute}}}, batch);
}

void key(benchmark::State& state) {
  std::string_view prefix = kPrefix;
  std::string_view user = kUser;
  std::int64_t minute = kMinute;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(prefix);
    benchmark::DoNotOptimize(user);
    benchmark::DoNotOptimize(minute);
    const decisions::Key key = decisions::Key::counter(prefix, user, {minute});
    benchmark::DoNotOptimize(key.view().data());
    benchmark::ClobberMemory();
  }
  report(state);
}
BENCHMARK(key);

void batch_of_a_charge(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) {
    CommandBatch batch;
    charge(batch);
    benchmark::DoNotOptimize(batch);
  }
  report(state);
}
BENCHMARK(batch_of_a_charge);

void resp_of_a_charge(benchmark::State& state) {
  CommandBatch batch;
  charge(batch);
  std::string bytes;
  for ([[maybe_unused]] auto _ : state) {
    bytes.clear();
    append_resp(bytes, batch, 1);
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
  }
  report(state);
}
BENCHMARK(resp_of_a_charge);

/// INCRBY's and EXPIRE's.
void replies_to_a_charge(benchmark::State& state) {
  ReplyParser parser;
  std::vector<Reply> replies;
  for ([[maybe_unused]] auto _ : state) {
    replies.clear();
    if (!parser.feed(":123456\r\n:1\r\n", replies) || replies.size() != 2) throw std::runtime_error("not two replies");
  }
  report(state);
}
BENCHMARK(replies_to_a_charge);

/// Without lock and clock.
void deny_memory(benchmark::State& state) {
  decisions::DenyMemory memory{std::chrono::seconds{1}, 256};
  const decisions::DenyMemory::Time now{};
  memory.remember_left(kUser, {kMinute}, 10, now, 0);
  std::string_view user = kUser;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(user);
    benchmark::DoNotOptimize(memory.advise(user, {kMinute}, 11, now));
  }
  report(state);
}
BENCHMARK(deny_memory);

/// The cost of repeated requests that cannot fit. Once per minute there are one or two round trips.
void remembered_denial(benchmark::State& state) {
  static RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = 1, .deny_memory = std::chrono::minutes{1}}};
  const std::string user = make_users(16)[static_cast<std::size_t>(state.thread_index())];
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(limiter.check_and_consume(user));
  report(state);
}
BENCHMARK(remembered_denial)->Threads(1)->Threads(2)->UseRealTime();

void memory_url_1000_users(benchmark::State& state) {
  static RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = kLimit}};
  const std::vector<std::string> users = make_users(1000);
  auto user = users.begin();
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(limiter.check_and_consume(*user));
    if (++user == users.end()) user = users.begin();
  }
  report(state);
}
BENCHMARK(memory_url_1000_users)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace tollgate

int main(int argc, char** argv) {
  std::thread{[] {}}.join();  // glibc's locks cost next to nothing in a process that never had a second thread
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
