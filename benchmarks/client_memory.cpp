// Shows that a client's memory does not grow with the number of users: the memory of this process after 1000 distinct
// users, 10 000 and so on, on private redis-servers. First all are allowed; then each asks twice, with a limit of one
// token, and denials are what the deny memory stores. Before that: what one user takes in Redis, next to the bare key.
// Usage: client_memory [users=10000000] [threads=64]         Prints JSON.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace {

using tollgate::RedisRateLimiter;
using tollgate::testing::RedisServer;

constexpr std::chrono::seconds kPatience{20};

RedisRateLimiter make_limiter(const RedisServer& server, std::int64_t limit) {
  return RedisRateLimiter{tollgate::connect(server.url(), {.command_timeout = kPatience}),
                          {.max_tokens_per_minute = limit}};
}

std::int64_t resident_kb() {
  std::ifstream status{"/proc/self/status"};
  std::int64_t kb = 0;
  for (std::string word; status >> word;) {
    if (word == "VmRSS:" && status >> kb) return kb;
  }
  throw std::runtime_error("/proc/self/status does not say VmRSS");
}

/// Users first … last - 1 ask, each by one thread; returns how many requests were denied.
std::int64_t ask(RedisRateLimiter& limiter, int threads, int times, std::int64_t first, std::int64_t last) {
  std::atomic<std::int64_t> next{first};
  const auto ask_for_some = [&] {
    std::int64_t denied = 0;
    for (std::int64_t user = next++; user < last; user = next++) {
      const std::string name = "user_" + std::to_string(user);
      for (int i = 0; i < times; ++i) denied += limiter.check_and_consume(name) ? 0 : 1;
    }
    return denied;
  };
  std::vector<std::future<std::int64_t>> pool;
  pool.reserve(static_cast<std::size_t>(threads));
  for (int i = 0; i < threads; ++i) pool.push_back(std::async(std::launch::async, ask_for_some));
  std::int64_t denied = 0;
  for (auto& thread : pool) denied += thread.get();
  return denied;
}

/// A line of JSON for 1000, 10 000 … `users` distinct users, each of whom asks so many times.
std::vector<std::string> grow(std::int64_t limit, int times, std::int64_t users, int threads) {
  // Bounded, because keys expire after a minute; after that, a user is admitted again.
  const RedisServer server{{"--maxmemory", "1gb", "--maxmemory-policy", "volatile-ttl"}};
  RedisRateLimiter limiter = make_limiter(server, limit);
  std::vector<std::string> lines;
  std::int64_t denied = 0;
  for (std::int64_t before = 0, until = std::min<std::int64_t>(1000, users); before < users;) {
    denied += ask(limiter, threads, times, before, until);
    if (!limiter.drain(std::chrono::steady_clock::now() + kPatience)) throw std::runtime_error("not drained");
    lines.push_back(fmt::format(R"({{"users":{},"requests":{},"denied":{},"resident_kb":{},"heap_kb":{}}})", until,
                                until * times, denied, resident_kb(), ::mallinfo2().uordblks / 1024));
    before = until;
    until = std::min(until * 10, users);
  }
  return lines;
}

struct RedisBytes {
  std::int64_t of_a_user;
  std::int64_t bare_key;
};

RedisBytes redis_bytes() {
  const RedisServer server;
  const auto bytes_of = [&](const std::string& key) {
    return server.command({"MEMORY", "USAGE", key}).to_integer().value();
  };
  if (!make_limiter(server, 1'000'000).check_and_consume("user_42")) throw std::runtime_error("denied");
  const std::string key{server.command({"RANDOMKEY"}).text()};  // the only one
  std::string bare = key;
  bare[0] = '_';
  server.command({"SET", bare, "1", "EX", "60"});
  return {bytes_of(key), bytes_of(bare)};
}

}  // namespace

int main(int argc, char** argv) try {
  tollgate::benchmarks::Arguments arguments{argc, argv};
  const auto users = arguments.number<std::int64_t>("users", 10'000'000, 1, 1'000'000'000);
  const int threads = arguments.number("threads", 64, 1, 4096);
  arguments.refuse_others();
  const RedisBytes bytes = redis_bytes();
  const auto allowed = grow(tollgate::kMaxTokens, 1, users, threads);
  const auto denied = grow(1, 2, users, threads);
  fmt::print(R"({{"threads":{},"redis_bytes_per_user":{},"redis_bytes_of_the_bare_key":{},)", threads, bytes.of_a_user,
             bytes.bare_key);
  fmt::print("\"allowed\":[{}],\"denied\":[{}]}}\n", fmt::join(allowed, ","), fmt::join(denied, ","));
} catch (const std::exception& error) {
  fmt::print(stderr, "client_memory: {}\n", error.what());
  return 1;
}
