/// The load of the fault suite, and its account. Processes of several threads each charge a few users' budgets, by both
/// admissions, and record their decisions; meanwhile a test causes a fault.
///
/// Users come and go: at each moment two budgets are in use, so that some are exhausted before a fault, some during it
/// and some after. The clock stays in one minute: a budget is one life of a key, unless Redis loses the key.
/// Thread safety: Account and Caller are for all threads and processes, FaultLoad for the test's thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "integration/processes.hpp"
#include "tollgate/redis_rate_limiter.hpp"

namespace tollgate::tests {

constexpr std::int64_t kBudget = 1'000;  // tokens of each user
constexpr int kLoadProcesses = 2;
constexpr int kThreadsPerProcess = 4;
constexpr std::int64_t kMostTokens = 10;  // of one call

/// The recorded decisions on one user.
struct Budget {
  std::atomic<std::int64_t> calls{0};
  std::atomic<std::int64_t> held{0};        // granted and not given back
  std::atomic<std::int64_t> peak{0};        // of `held`
  std::atomic<std::int64_t> in_doubt{0};    // of calls whose failure said that they may have been executed
  std::atomic<std::int64_t> unreported{0};  // of try_consume(), whose decision does not report doubt
};

/// The recorded decisions of all processes, in shared memory.
struct Account {
  static constexpr int kLoadUsers = 200;  // those above are for calls of the test itself
  static constexpr int kUsers = 210;

  // Set by the test, read by the load.
  std::atomic<bool> go{false};
  std::atomic<bool> idle{false};
  std::atomic<bool> stop{false};
  std::array<std::array<char, 128>, kLoadProcesses> urls{};
  std::chrono::steady_clock::time_point start;  // written before `go`

  // Set by the load, read by the test.
  std::array<Budget, kUsers> budgets;
  std::atomic<std::int64_t> calls{0};
  std::atomic<std::int64_t> in_time{0};
  std::array<std::atomic<std::int64_t>, kLoadProcesses> granted{};  // calls, by process
  std::array<std::atomic<std::int64_t>, 32> failed{};               // calls, by Errc; 0 = what must not happen
  std::atomic<std::int64_t> undelivered{0};                         // tokens of posts
  std::atomic<int> undrained{0};                                    // processes
};

/// A caller that makes requests and records their decisions.
class Caller {
 public:
  /// `process` is under whose name it counts.
  Caller(Account& account, RedisRateLimiter& limiter, int process)
      : account_(account), limiter_(limiter), process_(process) {}

  // Each returns whether the tokens were granted.
  bool consume(int user, std::int64_t tokens);
  bool try_consume(int user, std::int64_t tokens);
  bool reserve_and_settle(int user, std::int64_t estimate, std::int64_t actual);

  /// Whether the last consume() or reserve_and_settle() failed, and may have been executed.
  [[nodiscard]] bool in_doubt() const noexcept { return in_doubt_; }

  [[nodiscard]] static std::string name_of(int user) { return "user-" + std::to_string(user); }

 private:
  class Timed;

  Budget& budget(int user);
  bool grant(int user, std::int64_t tokens);
  void fail(std::error_code code);
  bool fail(int user, std::int64_t tokens, const Error& error);

  Account& account_;
  RedisRateLimiter& limiter_;
  int process_;
  bool in_doubt_ = false;
};

class FaultLoad {
 public:
  /// Forks; the processes wait until the test sets their address.
  FaultLoad();
  /// Ends the load, however the test ended.
  ~FaultLoad();
  FaultLoad(const FaultLoad&) = delete;
  FaultLoad& operator=(const FaultLoad&) = delete;

  /// The load begins: each process has a URL of its own.
  void begin(const std::string& first_url, const std::string& second_url);
  /// The load ends: every call returns, what was posted is delivered. False when a process failed.
  bool finish();

  [[nodiscard]] Account& account() const noexcept { return *account_; }
  [[nodiscard]] std::int64_t granted() const { return account_->granted[0] + account_->granted[1]; }
  [[nodiscard]] std::int64_t failed() const;

  /// A limiter's options in the load's minute.
  [[nodiscard]] static RateLimitConfig config(Admission admission, std::chrono::milliseconds deny_memory);
  [[nodiscard]] static std::string key_of(int user);

 private:
  void work(int process);

  SharedCounters<Account> account_;
  Processes processes_;
  bool running_ = true;
};

}  // namespace tollgate::tests
