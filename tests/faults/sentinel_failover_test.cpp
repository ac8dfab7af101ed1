// A failover under load: 16 threads charge the budgets of a sliding group of users while their primary is killed or
// demoted. The clock stands still, so that every budget is one window.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "decisions/keys.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_sentinels.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using testing::RedisSentinels;
using testing::RedisServer;
using Time = std::chrono::steady_clock::time_point;

constexpr int kThreads = 16;
constexpr std::int64_t kBudget = 500;    // tokens of each user
constexpr std::int64_t kMostTokens = 3;  // of one call
constexpr std::size_t kUsers = 4'000;
constexpr std::size_t kRecent = 20;  // users before the newest one that are asked for again
constexpr auto kCallTime = 250ms;
constexpr auto kSlack = 1s;  // of a loaded machine
constexpr auto kServedAgainWithin = 3s;
// Replication is asynchronous: a primary answers before its replicas have the charge. On loopback the delay is
// milliseconds; what was granted less than this before the fault may be lost.
constexpr auto kReplicationDelay = 1s;

// kGuarded: demoted, but with min-replicas-to-write, so that a primary that its replicas have left refuses charges.
enum class Fault { kKilled, kDemoted, kGuarded };

struct Grant {
  Time at;
  std::size_t user;
  std::int64_t tokens;
};

std::string name_of(std::size_t user) { return "user-" + std::to_string(user); }

/// The threads that charge, and what they were told.
class Load {
 public:
  explicit Load(RedisRateLimiter& limiter) {
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, i, &limiter] { run(limiter, static_cast<std::size_t>(i)); });
    }
  }
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  [[nodiscard]] std::int64_t granted() const noexcept { return granted_; }
  [[nodiscard]] bool wait_until_granted(std::int64_t tokens, Time until) const {
    while (granted_ < tokens) {
      if (std::chrono::steady_clock::now() >= until) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  // Once stopped:
  [[nodiscard]] std::vector<Grant> grants() const {
    std::vector<Grant> all;
    for (const auto& part : grants_) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  [[nodiscard]] std::int64_t in_doubt(std::size_t user) const { return in_doubt_[user]; }
  [[nodiscard]] std::int64_t failed() const noexcept { return failed_; }
  [[nodiscard]] std::chrono::steady_clock::duration longest_call() const {
    return *std::max_element(longest_.begin(), longest_.end());
  }

 private:
  void run(RedisRateLimiter& limiter, std::size_t number) {
    std::size_t turn = number;
    while (!stop_) {
      const std::size_t newest = std::min(static_cast<std::size_t>(granted_ / kBudget) + 1, kUsers - 1);
      const std::size_t back = ++turn % 3 == 0 ? turn % kRecent : turn % 2;
      const std::size_t user = newest - std::min(newest, back);
      const auto tokens = static_cast<std::int64_t>(turn % kMostTokens) + 1;
      const Time begin = std::chrono::steady_clock::now();
      try {
        const bool is_granted = limiter.check_and_consume(name_of(user), tokens, {.deadline = begin + kCallTime});
        const Time end = std::chrono::steady_clock::now();
        longest_[number] = std::max(longest_[number], end - begin);
        if (!is_granted) continue;
        grants_[number].push_back({end, user, tokens});
        granted_ += tokens;
      } catch (const Error& error) {
        longest_[number] = std::max(longest_[number], std::chrono::steady_clock::now() - begin);
        ++failed_;
        if (error.may_have_executed()) in_doubt_[user] += tokens;
        std::this_thread::sleep_for(1ms);
      }
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> granted_{0};
  std::atomic<std::int64_t> failed_{0};
  std::array<std::atomic<std::int64_t>, kUsers> in_doubt_{};
  std::array<std::vector<Grant>, kThreads> grants_;
  std::array<std::chrono::steady_clock::duration, kThreads> longest_{};
  std::vector<std::thread> threads_;
};

class SentinelFailover : public ::testing::TestWithParam<std::tuple<Fault, Admission>> {
 protected:
  [[nodiscard]] std::int64_t counter_on(const RedisServer& server, std::size_t user) const {
    const decisions::Key key =
        decisions::Key::counter(RateLimitConfig{}.key_prefix, name_of(user), decisions::window_at(clock_->now()));
    return server.command({"GET", std::string{key.view()}}).to_integer().value_or(0);
  }

  /// Compares what was granted with the budgets and with the counters of the new primary.
  void audit(const Load& load, const RedisServer& promoted, Time lossy_from, Time lossy_until) const {
    std::vector<std::int64_t> granted(kUsers);
    std::vector<std::int64_t> may_be_lost(kUsers);
    std::size_t users = 0;
    for (const Grant& grant : load.grants()) {
      granted[grant.user] += grant.tokens;
      if (lossy_from <= grant.at && grant.at <= lossy_until) may_be_lost[grant.user] += grant.tokens;
      users = std::max(users, grant.user + 1);
    }
    std::int64_t lost = 0;
    std::int64_t above = 0;
    std::int64_t in_doubt = 0;
    for (std::size_t user = 0; user < users; ++user) {
      const std::int64_t counter = counter_on(promoted, user);
      lost += std::max<std::int64_t>(granted[user] - counter, 0);
      above += std::max<std::int64_t>(granted[user] - kBudget, 0);
      in_doubt += load.in_doubt(user);
      EXPECT_LE(granted[user], kBudget + may_be_lost[user]) << name_of(user);
      EXPECT_LE(granted[user] - counter, may_be_lost[user]) << name_of(user) << ": what the new primary does not have";
      // Where replication ended between a denied charge and its undo, the charge is kept: at most one of each thread,
      // whose next call is executed behind the undo.
      EXPECT_LE(counter, kBudget + load.in_doubt(user) + kThreads * kMostTokens) << name_of(user);
    }
    if (std::get<Fault>(GetParam()) == Fault::kKilled) {
      EXPECT_GT(in_doubt, 0) << "calls were in flight when the connection ended";
    }
    std::cout << "granted " << load.granted() << " tokens to " << users << " users; lost by the failover " << lost
              << ", granted above the limit " << above << ", reported in doubt " << in_doubt << "; failed calls "
              << load.failed() << ", longest call "
              << std::chrono::duration_cast<std::chrono::milliseconds>(load.longest_call()).count() << " ms\n";
  }

  RedisSentinels redis_{
      {.server_arguments = std::get<Fault>(GetParam()) == Fault::kGuarded
                               ? std::vector<std::string>{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"}
                               : std::vector<std::string>{}}};
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
};

TEST_P(SentinelFailover, DecisionsFlowAgainAndNoMoreIsGrantedThanTheFailoverLost) {
  const auto [fault, admission] = GetParam();
  RedisRateLimiter limiter{
      connect(redis_.url(), {.connect_timeout = 1s, .command_timeout = kCallTime}),
      {.max_tokens_per_minute = kBudget, .admission = admission, .deny_memory = 0ms, .clock = clock_}};
  Load load{limiter};
  const auto now = [] { return std::chrono::steady_clock::now(); };
  ASSERT_TRUE(load.wait_until_granted(5'000, now() + 20s));

  const Time lossy_from = now() - kReplicationDelay;
  RedisServer& old = fault == Fault::kKilled ? redis_.kill_primary() : redis_.fail_over();
  Time lossy_until = now();
  RedisServer& promoted = redis_.wait_for_promotion(old);
  const Time promoted_at = now();
  if (fault != Fault::kKilled) {
    // The old primary grants until the sentinels have made it a replica, which then discards those charges.
    redis_.wait_until_replica(old);
    lossy_until = now();
  }
  const Time leads_since = std::max(promoted_at, lossy_until);
  const std::int64_t before = load.granted();
  EXPECT_TRUE(load.wait_until_granted(before + 1, leads_since + 20s));
  const auto pause = now() - leads_since;
  EXPECT_LT(pause, kServedAgainWithin);
  EXPECT_TRUE(load.wait_until_granted(before + 5'000, now() + 20s));
  load.stop();
  EXPECT_TRUE(limiter.drain(now() + 10s));
  EXPECT_LT(load.longest_call(), kCallTime + kSlack);
  std::cout << "decisions flowed again " << std::chrono::duration_cast<std::chrono::milliseconds>(pause).count()
            << " ms after the promotion\n";
  audit(load, promoted, lossy_from, lossy_until);

  // Of a pipelined charge the new primary may have the INCRBY without the EXPIRE, until the user is charged again.
  if (admission == Admission::kAtomic) {
    EXPECT_THAT(promoted.keys_without_ttl(), IsEmpty());
  } else {
    EXPECT_LE(promoted.keys_without_ttl().size(), static_cast<std::size_t>(kThreads));
  }
}

std::string name_of(Fault fault) {
  switch (fault) {
    case Fault::kKilled: return "Killed";
    case Fault::kDemoted: return "Demoted";
    case Fault::kGuarded: return "Guarded";
  }
  return {};
}
std::string name_of(Admission admission) { return admission == Admission::kAtomic ? "Atomic" : "Pipelined"; }

INSTANTIATE_TEST_SUITE_P(Of, SentinelFailover,
                         ::testing::Combine(::testing::Values(Fault::kKilled, Fault::kDemoted, Fault::kGuarded),
                                            ::testing::Values(Admission::kPipelined, Admission::kAtomic)),
                         [](const auto& setting) {
                           return name_of(std::get<Fault>(setting.param)) + name_of(std::get<Admission>(setting.param));
                         });

}  // namespace
}  // namespace tollgate::tests
