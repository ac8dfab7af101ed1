// What a limiter tells of real outages: each change once, whatever the threads do, and from where the limiter may be
// called.

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

const ClientOptions kClient{.connect_timeout = 5s, .command_timeout = 5s};

class LimiterEventsFaults : public FaultTest {
 protected:
  /// Asks for a decision of its own on each event.
  struct Recorder final : Observer {
    void on_event(const Event& event) noexcept override {
      ++seen[static_cast<std::size_t>(event.kind)];
      last = limiter->try_consume("the observer's", 1);
      ++(last.source == Source::kRedis ? by_redis : by_policy);
    }
    [[nodiscard]] int count(EventKind kind) const { return seen[static_cast<std::size_t>(kind)]; }

    RedisRateLimiter* limiter = nullptr;
    std::array<std::atomic<int>, 16> seen{};
    std::uint64_t by_redis = 0;  // no atomics: it is called once at a time
    std::uint64_t by_policy = 0;
    Decision last;
  };

  [[nodiscard]] RateLimitConfig observed() const {
    RateLimitConfig config = this->config(FailurePolicy::kDeny);
    config.observer = observer_;
    return config;
  }

  std::shared_ptr<Recorder> observer_ = std::make_shared<Recorder>();
};

TEST_F(LimiterEventsFaults, AnOutageSeenByManyThreadsIsReportedOnce) {
  constexpr std::size_t kThreads = 8;
  struct Seen {
    std::atomic<std::uint64_t> by_redis{0};
    std::atomic<std::uint64_t> by_policy{0};
  };
  RedisRateLimiter limiter{connect(server_.url(), kClient), observed()};
  observer_->limiter = &limiter;
  std::array<Seen, kThreads> seen;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      while (!stop) {
        const Decision decision = limiter.consume("user " + std::to_string(i), 1);
        ++(decision.source == Source::kRedis ? seen[i].by_redis : seen[i].by_policy);
      }
    });
  }
  /// Whether each thread soon sees ten more of these.
  const auto ten_more = [&](std::atomic<std::uint64_t> Seen::*what) {
    std::array<std::uint64_t, kThreads> before{};
    for (std::size_t i = 0; i < kThreads; ++i) before[i] = seen[i].*what;
    return soon([&] {
      for (std::size_t i = 0; i < kThreads; ++i) {
        if (seen[i].*what < before[i] + 10) return false;
      }
      return true;
    });
  };

  EXPECT_TRUE(ten_more(&Seen::by_redis));
  EXPECT_EQ(observer_->count(EventKind::kFallbackEntered), 0);
  server_.kill();
  EXPECT_TRUE(ten_more(&Seen::by_policy));
  EXPECT_TRUE(soon([&] { return observer_->count(EventKind::kFallbackEntered) == 1; }));
  EXPECT_EQ(observer_->count(EventKind::kFallbackLeft), 0);
  server_.restart();
  EXPECT_TRUE(ten_more(&Seen::by_redis));
  EXPECT_EQ(observer_->count(EventKind::kFallbackLeft), 0);  // not yet a second
  clock_->advance(1s);
  EXPECT_TRUE(soon([&] { return observer_->count(EventKind::kFallbackLeft) == 1; }));
  EXPECT_TRUE(ten_more(&Seen::by_redis));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(observer_->count(EventKind::kFallbackEntered), 1);
  EXPECT_EQ(observer_->count(EventKind::kFallbackLeft), 1);

  std::uint64_t by_redis = observer_->by_redis;
  std::uint64_t by_policy = observer_->by_policy;
  for (const Seen& thread : seen) {
    by_redis += thread.by_redis;
    by_policy += thread.by_policy;
  }
  const Stats stats = limiter.stats();
  EXPECT_EQ(stats.allowed.by_redis + stats.denied.by_redis, by_redis);
  EXPECT_EQ(stats.denied.by_policy, by_policy);
  EXPECT_EQ(stats.allowed.by_policy + stats.failed, 0U);
}

TEST_F(LimiterEventsFaults, AFailedSettlementIsReportedWhereTheLimiterMayBeCalled) {
  RedisRateLimiter limiter{connect(server_.url(), kClient), observed()};
  observer_->limiter = &limiter;
  Reservation reservation = limiter.reserve("u", 100);
  ASSERT_TRUE(reservation.allowed());
  server_.pause();
  reservation.settle(40);
  server_.kill();
  server_.restart();
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.peek("u"));
    return observer_->count(EventKind::kSettlementFailed) == 1;
  }));
  EXPECT_EQ(observer_->last.source, Source::kRedis) << "its call was in the way of itself";
  EXPECT_EQ(limiter.stats().undelivered.tokens, 60U);
}

}  // namespace
}  // namespace tollgate::tests
