// Credentials that end while the client is under load: each connection logs in again before that, and no call fails.
//   TOLLGATE_CREDENTIALS_SECONDS=60 faults_expiring_credentials   how long the tests under load run; 6 s by default

#include <atomic>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::seconds duration_of_load() {
  const char* seconds = std::getenv("TOLLGATE_CREDENTIALS_SECONDS");
  return std::chrono::seconds{seconds == nullptr ? 6 : std::atoi(seconds)};
}

/// Counts the events of a client.
class CountingObserver final : public Observer {
 public:
  void on_event(const Event& event) noexcept override {
    if (event.kind == EventKind::kCredentialsRefused) ++refused_;
    if (event.kind == EventKind::kDisconnected) ++disconnected_;
  }
  [[nodiscard]] int refused() const { return refused_; }
  [[nodiscard]] int disconnected() const { return disconnected_; }

 private:
  std::atomic<int> refused_{0};
  std::atomic<int> disconnected_{0};
};

class ExpiringCredentials : public FaultTest {
 protected:
  static constexpr auto kValidity = 2s;
  static constexpr int kThreads = 8;

  /// Calls from several threads, for duration_of_load(). `meanwhile` is called all the time.
  static std::vector<std::string> failures_under_load(RedisRateLimiter& limiter,
                                                      const std::function<void()>& meanwhile) {
    std::mutex mutex;
    std::vector<std::string> failures;
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, user = "u" + std::to_string(i)] {
        while (!stop) {
          const Decision decision = limiter.try_consume(user, 1);
          if (!decision.failure) continue;
          const std::lock_guard lock{mutex};
          failures.push_back(decision.failure.message());
        }
      });
    }
    for (const auto end = Clock::now() + duration_of_load(); Clock::now() < end;) {
      meanwhile();
      std::this_thread::sleep_for(10ms);
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    return failures;
  }

  /// How many connections are logged in as `user`.
  [[nodiscard]] int logged_in(const std::string& user) const {
    const std::string clients{server_.command({"CLIENT", "LIST"}).text()};
    int count = 0;
    for (std::size_t at = 0; (at = clients.find(" user=" + user + ' ', at)) != std::string::npos; ++at) ++count;
    return count;
  }

  std::shared_ptr<CountingObserver> observer_ = std::make_shared<CountingObserver>();
  ClientOptions options_{.connect_timeout = 5s, .command_timeout = 5s, .observer = observer_};
};

// As servers that end a connection with its token: Redis closes the connections of a user that is deleted.
TEST_F(ExpiringCredentials, NoCallFailsWhenTheServerClosesConnectionsWhoseLoginHasEnded) {
  std::mutex mutex;
  std::deque<std::pair<std::string, Clock::time_point>> tokens;  // and when they end
  int issued = 0;
  options_.credentials = [&]() -> Credentials {
    const std::lock_guard lock{mutex};
    const std::string token = "token" + std::to_string(++issued);
    tokens.emplace_back(token, Clock::now() + kValidity);
    server_.command({"ACL", "SETUSER", token, "on", ">" + token, "~*", "+@all"});
    return {.username = token, .password = token, .valid_for = kValidity};
  };
  RedisRateLimiter limiter{connect(server_.url(), options_), {.max_tokens_per_minute = 1'000'000'000}};
  const auto failures = failures_under_load(limiter, [&] {
    const std::lock_guard lock{mutex};
    while (!tokens.empty() && tokens.front().second <= Clock::now()) {
      server_.command({"ACL", "DELUSER", tokens.front().first});
      tokens.pop_front();
    }
  });
  EXPECT_THAT(failures, ::testing::IsEmpty());
  EXPECT_EQ(observer_->disconnected(), 0);
  EXPECT_EQ(observer_->refused(), 0);
  EXPECT_EQ(limiter.stats().client.connects, 1U);
  EXPECT_GE(issued, duration_of_load() / kValidity);
}

// As services that rotate a secret: the new password and the one before it are valid.
TEST_F(ExpiringCredentials, NoCallFailsWhileThePasswordRotates) {
  std::atomic<int> number{1};
  std::atomic<int> asked{0};
  const auto password = [](int of) { return "word" + std::to_string(of); };
  server_.command({"ACL", "SETUSER", "gateway", "on", ">" + password(1), "~*", "+@all"});
  options_.credentials = [&]() -> Credentials {
    ++asked;
    return {.username = "gateway", .password = password(number), .valid_for = kValidity};
  };
  RedisRateLimiter limiter{connect(server_.url(), options_), {.max_tokens_per_minute = 1'000'000'000}};
  auto next = Clock::now() + kValidity;
  const auto failures = failures_under_load(limiter, [&] {
    if (Clock::now() < next) return;
    next += kValidity;
    server_.command({"ACL", "SETUSER", "gateway", ">" + password(number + 1)});
    if (++number > 2) server_.command({"ACL", "SETUSER", "gateway", "<" + password(number - 2)});
  });
  EXPECT_THAT(failures, ::testing::IsEmpty());
  EXPECT_EQ(observer_->refused(), 0);
  EXPECT_GE(asked - logged_in("gateway"), duration_of_load() / kValidity);  // each asked once when it was made
  EXPECT_EQ(limiter.stats().client.connects, 1U);
}

TEST_F(ExpiringCredentials, ARefusedPasswordLeavesTheLoginAndIsReportedOnce) {
  server_.command({"ACL", "SETUSER", "gateway", "on", ">word", "~*", "+@all"});
  std::atomic<int> asked{0};
  options_.credentials = [&]() -> Credentials {
    return {.username = "gateway", .password = asked++ == 0 ? "word" : "hunter2", .valid_for = 1s};
  };
  RedisRateLimiter limiter{connect(server_.url(), options_), config()};
  EXPECT_TRUE(soon([&] {
    EXPECT_TRUE(limiter.check_and_consume("u", 1));
    return asked >= 4;
  }));
  EXPECT_TRUE(soon([&] { return observer_->refused() == 1; }));
  EXPECT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(observer_->refused(), 1);
  EXPECT_EQ(limiter.stats().client.connects, 1U);
}

TEST_F(ExpiringCredentials, AnIdleClientAsksAtItsNextUse) {
  for (const char* const user : {"user1", "user2"}) {
    server_.command({"ACL", "SETUSER", user, "on", ">word", "~*", "+@all"});
  }
  std::atomic<int> asked{0};
  options_.credentials = [&]() -> Credentials {
    return {.username = "user" + std::to_string(++asked), .password = "word", .valid_for = 1s};
  };
  RedisRateLimiter limiter{connect(server_.url(), options_), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  std::this_thread::sleep_for(1'500ms);
  EXPECT_EQ(logged_in("user1"), 1);
  EXPECT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_TRUE(soon([&] { return logged_in("user2") == 1; }));
  EXPECT_EQ(logged_in("user1"), 0);
  EXPECT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(limiter.stats().client.connects, 1U);
}

}  // namespace
}  // namespace tollgate::tests
