// Limiters made from the same URL and options share one client, which ends with the last of them; other options, an
// injected client, `memory://` and a forked child do not share.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <sstream>
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

constexpr int kMostConnectionsOfAClient = 4;

class Silent final : public Observer {
 public:
  void on_event(const Event& /*event*/) noexcept override {}
};

class SharedClient : public ::testing::Test {
 protected:
  [[nodiscard]] int connections() const {
    std::istringstream list{server_.command({"CLIENT", "LIST"}).text()};
    int count = 0;
    for (std::string line; std::getline(list, line);) count += line.find("user=default") != std::string::npos ? 1 : 0;
    return count;
  }
  [[nodiscard]] bool soon_without_connections() const {
    for (int i = 0; i < 1000; ++i) {
      if (connections() == 0) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  /// Whether a call of `one` is counted by the client of `other`.
  static bool share(RedisRateLimiter& one, RedisRateLimiter& other) {
    const auto before = other.stats().client.latency.total();
    static_cast<void>(one.peek("u"));
    return other.stats().client.latency.total() > before;
  }
  [[nodiscard]] std::string url() const { return server_.url() + "?command_timeout_ms=5000"; }

  testing::RedisServer server_;
};

TEST_F(SharedClient, EightLimitersHaveTogetherAsManyConnectionsAsOne) {
  std::vector<std::unique_ptr<RedisRateLimiter>> limiters;
  const auto one_minute = std::make_shared<testing::ManualClock>();
  for (int i = 0; i < 8; ++i) {
    limiters.push_back(std::make_unique<RedisRateLimiter>(url(), RateLimitConfig{.clock = one_minute}));
  }
  std::vector<std::thread> threads;
  for (const auto& limiter : limiters) {
    threads.emplace_back([&limiter = *limiter] {
      for (int i = 0; i < 100; ++i) EXPECT_TRUE(limiter.check_and_consume("u", 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(connections(), 1);
  EXPECT_LE(connections(), kMostConnectionsOfAClient);
  EXPECT_TRUE(share(*limiters.front(), *limiters.back()));
  EXPECT_EQ(limiters.front()->get_remaining("u"), 10'000 - 800);
}

TEST_F(SharedClient, LimitersThatDecideDifferentlyShareToo) {
  RedisRateLimiter pipelined{url(), {.max_tokens_per_minute = 5, .key_prefix = "one"}};
  RedisRateLimiter atomic{url(), {.key_prefix = "two", .admission = Admission::kAtomic}};
  EXPECT_TRUE(share(pipelined, atomic));
  EXPECT_TRUE(pipelined.check_and_consume("u", 5));
  EXPECT_EQ(atomic.get_remaining("u"), 10'000);
}

TEST_F(SharedClient, OtherOptionsDoNotShare) {
  RedisRateLimiter limiter{url()};
  RedisRateLimiter more_patient{server_.url() + "?command_timeout_ms=6000"};
  RedisRateLimiter other_database{"redis://127.0.0.1:" + std::to_string(server_.port()) + "/1?command_timeout_ms=5000"};
  RedisRateLimiter by_unix_socket{server_.unix_url()};
  RedisRateLimiter observed{url(), {.observer = std::make_shared<Silent>()}};
  RedisRateLimiter observed_by_another{url(), {.observer = std::make_shared<Silent>()}};
  EXPECT_FALSE(share(limiter, more_patient));
  EXPECT_FALSE(share(limiter, other_database));
  EXPECT_FALSE(share(limiter, by_unix_socket));
  EXPECT_FALSE(share(limiter, observed));
  EXPECT_FALSE(share(observed, observed_by_another));
  RedisRateLimiter same{url()};
  EXPECT_TRUE(share(limiter, same));
}

TEST_F(SharedClient, TheClientEndsWithTheLastOfItsLimiters) {
  auto first = std::make_unique<RedisRateLimiter>(url());
  auto second = std::make_unique<RedisRateLimiter>(url());
  ASSERT_TRUE(first->check_and_consume("u", 1));
  ASSERT_TRUE(share(*first, *second));
  first.reset();
  EXPECT_TRUE(second->check_and_consume("u", 1));
  EXPECT_GE(connections(), 1);
  EXPECT_EQ(second->stats().client.disconnects, 0U);
  second.reset();
  EXPECT_TRUE(soon_without_connections());
  RedisRateLimiter afterwards{url()};
  EXPECT_EQ(afterwards.stats().client.latency.total(), 0U);  // a new client
  EXPECT_TRUE(afterwards.check_and_consume("u", 1));
}

TEST_F(SharedClient, ThreadsThatMakeAndEndLimitersAtOnceAllGetAnswers) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) EXPECT_TRUE(RedisRateLimiter{url()}.check_and_consume("u", 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(soon_without_connections());
}

TEST_F(SharedClient, AnInjectedClientIsPrivate) {
  RedisRateLimiter shared{url()};
  RedisRateLimiter also_shared{url()};
  RedisRateLimiter injected{connect(url()), {}};
  RedisRateLimiter injected_too{connect(url()), {}};
  EXPECT_TRUE(share(shared, also_shared));
  EXPECT_FALSE(share(shared, injected));
  EXPECT_FALSE(share(injected, injected_too));
}

TEST_F(SharedClient, LimitersInMemoryDoNotShareAStore) {
  RedisRateLimiter one{"memory://"};
  RedisRateLimiter other{"memory://"};
  ASSERT_TRUE(one.check_and_consume("u", 100));
  EXPECT_EQ(other.get_remaining("u"), 10'000);
}

TEST_F(SharedClient, AForkedChildHasConnectionsOfItsOwn) {
  RedisRateLimiter limiter{url()};
  RedisRateLimiter same{url()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  ASSERT_TRUE(share(limiter, same));
  const int of_the_parent = connections();
  const pid_t child = ::fork();
  if (child == 0) {
    RedisRateLimiter made_in_the_child{url()};
    const bool answered = limiter.check_and_consume("u", 1) && made_in_the_child.check_and_consume("u", 1);
    ::_exit(answered && connections() > of_the_parent ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(same.check_and_consume("u", 1));
  EXPECT_EQ(limiter.get_remaining("u"), 10'000 - 103);
  EXPECT_EQ(limiter.stats().client.disconnects, 0U);
}

}  // namespace
}  // namespace tollgate::tests
