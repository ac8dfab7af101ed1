// A caller sees its own effects: after settle, cancel, add or a denied charge has returned, the next call of the same
// caller, and of every thread that has synchronised with it, finds them in Redis. Also where Redis has lost the
// scripts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kBudget = 1'000'000'000;
constexpr int kIterations = 600;
constexpr int kThreads = 8;

/// One user's account: what get_remaining must answer.
class Account {
 public:
  Account(RedisRateLimiter& limiter, std::string user, std::function<void()> flush_scripts)
      : limiter_(limiter), user_(std::move(user)), flush_scripts_(std::move(flush_scripts)) {}

  void settle() {
    Reservation reservation = limiter_.reserve(user_, 500);
    flush_scripts_();
    reservation.settle(7);
    charged_ += 7;
  }
  void cancel() {
    Reservation reservation = limiter_.reserve(user_, 500);
    flush_scripts_();
    reservation.cancel();
  }
  void add() {
    Reservation reservation = limiter_.reserve(user_, 500);
    flush_scripts_();
    ASSERT_TRUE(reservation.add(3).allowed);
    charged_ += 503;
    reservation.settle(503);
  }
  void be_denied() {
    limiter_.record(user_, 1);
    charged_ += 1;
    flush_scripts_();
    ASSERT_FALSE(limiter_.check_and_consume(user_, kBudget));
  }
  [[nodiscard]] bool is_seen() { return limiter_.get_remaining(user_) == kBudget - charged_; }

 private:
  RedisRateLimiter& limiter_;
  const std::string user_;
  const std::function<void()> flush_scripts_;
  std::int64_t charged_ = 0;
};

struct Effect {
  const char* name;
  void (Account::*cause)();
};

std::ostream& operator<<(std::ostream& out, const Effect& effect) { return out << effect.name; }

class OwnEffects : public ::testing::TestWithParam<std::tuple<Effect, Admission>> {
 protected:
  void cause(Account& account) const { (account.*std::get<Effect>(GetParam()).cause)(); }
  void flush_scripts() const { server_.command({"SCRIPT", "FLUSH"}); }
  [[nodiscard]] Account account(const std::string& user) {
    return {limiter_, user, [this] { flush_scripts(); }};
  }

  testing::RedisServer server_;
  RedisRateLimiter limiter_{connect(server_.url(), {.connect_timeout = 10s, .command_timeout = 10s}),
                            {.max_tokens_per_minute = kBudget,
                             .admission = std::get<Admission>(GetParam()),
                             .deny_memory = 0ms,
                             .clock = std::make_shared<testing::ManualClock>()}};
};

TEST_P(OwnEffects, AreSeenByTheNextCall) {
  Account mine = account("u");
  int missed = 0;
  for (int i = 0; i < kIterations; ++i) {
    cause(mine);
    if (!mine.is_seen()) ++missed;
  }
  EXPECT_EQ(missed, 0) << "of " << kIterations;
}

TEST_P(OwnEffects, AreSeenByTheNextCallOfEachOfManyThreads) {
  std::atomic<int> missed{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Account mine = account("user_" + std::to_string(thread));
      for (int i = 0; i < kIterations / kThreads; ++i) {
        cause(mine);
        if (!mine.is_seen()) ++missed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(missed, 0) << "of " << kIterations;
}

TEST_P(OwnEffects, AreSeenByAThreadThatHasSynchronisedWithTheCaller) {
  std::atomic<int> missed{0};
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<std::barrier<>>> turns;
  std::vector<std::unique_ptr<Account>> accounts;
  for (int pair = 0; pair < kThreads / 2; ++pair) {
    turns.push_back(std::make_unique<std::barrier<>>(2));
    accounts.push_back(std::make_unique<Account>(account("user_" + std::to_string(pair))));
    threads.emplace_back([&, &turn = *turns.back(), &shared = *accounts.back()] {
      for (int i = 0; i < kIterations / kThreads; ++i) {
        cause(shared);
        turn.arrive_and_wait();  // the other thread peeks from here
        turn.arrive_and_wait();  // to here
      }
    });
    threads.emplace_back([&, &turn = *turns.back(), &shared = *accounts.back()] {
      for (int i = 0; i < kIterations / kThreads; ++i) {
        turn.arrive_and_wait();
        if (!shared.is_seen()) ++missed;
        turn.arrive_and_wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(missed, 0);
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Effect, Admission>>& parameters) {
  const auto& [effect, admission] = parameters.param;
  return effect.name + std::string{admission == Admission::kAtomic ? "Atomic" : "Pipelined"};
}

INSTANTIATE_TEST_SUITE_P(
    Of, OwnEffects,
    ::testing::Combine(::testing::Values(Effect{"Settle", &Account::settle}, Effect{"Cancel", &Account::cancel},
                                         Effect{"Add", &Account::add}, Effect{"DeniedCharge", &Account::be_denied}),
                       ::testing::Values(Admission::kPipelined, Admission::kAtomic)),
    name_of);

TEST(CostOfOwnEffects, CallsThatPostNothingSendNoScript) {
  testing::RedisServer server;
  RedisRateLimiter limiter{connect(server.url(), {.connect_timeout = 10s, .command_timeout = 10s}),
                           {.max_tokens_per_minute = kBudget}};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(limiter.check_and_consume("u", 1));
    ASSERT_GT(limiter.get_remaining("u"), 0);
  }
  const auto calls_of = [&](const std::string& command) -> long {
    const std::string text = server.command({"INFO", "commandstats"}).text();
    const std::string field = "cmdstat_" + command + ":calls=";
    const std::size_t at = text.find(field);
    return at == std::string::npos ? 0 : std::stol(text.substr(at + field.size()));
  };
  EXPECT_EQ(calls_of("incrby"), 100);
  EXPECT_EQ(limiter.stats().client.posted, 0U);
  EXPECT_LE(calls_of("eval") + calls_of("evalsha"), 8);  // a check of the rights at each connect at most
  EXPECT_EQ(limiter.stats().client.latency.total(), 200U);
}

}  // namespace
}  // namespace tollgate::tests
