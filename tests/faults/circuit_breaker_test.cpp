// The client's circuit breaker on real outages, what its observer is told of them, and what a rotated password needs.

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// Keeps what it is told, and checks that it is told one thing at a time.
class Recorder final : public Observer {
 public:
  void on_event(const Event& event) noexcept override {
    EXPECT_FALSE(busy_.exchange(true));
    {
      const std::lock_guard lock{mutex_};
      events_.push_back(event);
    }
    busy_ = false;
  }
  [[nodiscard]] std::vector<Event> events() const {
    const std::lock_guard lock{mutex_};
    return events_;
  }
  [[nodiscard]] std::vector<EventKind> kinds() const {
    std::vector<EventKind> kinds;
    for (const Event& event : events()) kinds.push_back(event.kind);
    return kinds;
  }
  [[nodiscard]] std::ptrdiff_t count(EventKind kind) const {
    const auto kinds = this->kinds();
    return std::count(kinds.begin(), kinds.end(), kind);
  }

 private:
  std::atomic<bool> busy_{false};
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

class CircuitBreakerFaults : public FaultTest {
 protected:
  [[nodiscard]] ClientOptions watched(std::chrono::milliseconds command_timeout) const {
    return {.connect_timeout = 1s, .command_timeout = command_timeout, .observer = recorder_};
  }

  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
};

TEST_F(CircuitBreakerFaults, FiveTimeoutsOpenItThenCallsFailAtOnceAndTheServersReturnClosesIt) {
  const auto client = connect(server_.url(), watched(50ms));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.consume("u", 1).failure, Errc::kTimeout);
  EXPECT_EQ(client->stats().circuit_opened, 1U);

  const auto failed_at_once = client->stats().failed_at_once;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limiter.consume("u", 1).source, Source::kFallback);
  EXPECT_GE(client->stats().failed_at_once, failed_at_once + 990);  // the others were probes

  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 0).source == Source::kRedis; }));
  EXPECT_THAT(recorder_->kinds(), ::testing::IsSupersetOf({EventKind::kConnected, EventKind::kCircuitOpened,
                                                           EventKind::kDisconnected, EventKind::kCircuitClosed}));
  EXPECT_EQ(recorder_->count(EventKind::kCircuitOpened), 1);
  EXPECT_EQ(recorder_->count(EventKind::kCircuitClosed), 1);
  for (const Event& event : recorder_->events()) {
    EXPECT_EQ(event.subject, server_.url());
    if (event.kind == EventKind::kCircuitOpened) {
      EXPECT_EQ(event.failure.code, Errc::kTimeout);
    }
  }
}

TEST_F(CircuitBreakerFaults, AnOpenCircuitDropsTheConnectionAndItsCallsInFlightAreInDoubt) {
  const auto client = connect(server_.url(), watched(100ms));
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  std::atomic<bool> patient_returned{false};
  std::thread patient([&] {
    const auto error = thrown_by<Error>(
        [&] { static_cast<void>(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 60s})); });
    EXPECT_EQ(error.code(), Errc::kConnectionLost);
    EXPECT_TRUE(error.may_have_executed());
    patient_returned = true;
  });
  std::this_thread::sleep_for(20ms);  // it drives now
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] { EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), Error); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(soon([&] { return patient_returned.load(); }));
  patient.join();
  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 0).source == Source::kRedis; }));
}

TEST_F(CircuitBreakerFaults, TimeoutsOfShortDeadlinesDoNotOpenIt) {
  const auto client = connect(server_.url(), watched(10s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(limiter.consume("u", 0, {.deadline = Clock::now() + 1ms}).failure, Errc::kTimeout);
  }
  server_.resume();
  EXPECT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(client->stats().circuit_opened, 0U);
  EXPECT_EQ(client->stats().connects, 1U);
}

TEST_F(CircuitBreakerFaults, ASilentServerOpensItAlsoWhenAllDeadlinesAreShort) {
  const auto client = connect(server_.url(), watched(50ms));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.consume("u", 0, {.deadline = Clock::now() + 2ms}));
    return client->stats().circuit_opened == 1;
  }));
  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 0).source == Source::kRedis; }));
}

TEST_F(CircuitBreakerFaults, AProbeWithoutAnOutcomeIsFollowedByAnotherProbe) {
  server_.kill();
  const auto client = connect(server_.url(), watched(50ms));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  EXPECT_EQ(limiter.consume("u", 0).failure, Errc::kConnectFailed);
  EXPECT_EQ(client->stats().circuit_opened, 1U);
  server_.restart();
  server_.pause();
  // Each finds the pause over, connects, and leaves before anything is known.
  for (int i = 0; i < 20; ++i) {
    static_cast<void>(limiter.consume("u", 0, {.deadline = Clock::now() + 1ms}));
    std::this_thread::sleep_for(1ms);
  }
  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 0).source == Source::kRedis; }));
}

TEST_F(CircuitBreakerFaults, AFailedConnectOpensItAtOnce) {
  server_.kill();
  const auto client = connect(server_.url(), watched(1s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  EXPECT_EQ(limiter.consume("u", 1).failure, Errc::kConnectFailed);
  EXPECT_THAT(recorder_->kinds(), ElementsAre(EventKind::kCircuitOpened));
  server_.restart();
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 0).source == Source::kRedis; }));
  EXPECT_THAT(recorder_->kinds(),
              ElementsAre(EventKind::kCircuitOpened, EventKind::kConnected, EventKind::kCircuitClosed));
}

// ---- what counts --------------------------------------------------------------------------------------------------

TEST_F(CircuitBreakerFaults, AnErrorAboutOneKeyNeverOpensIt) {
  const auto client = connect(server_.url(), watched(1s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  server_.command({"LPUSH", key("list"), "x"});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(limiter.consume("list", 1).failure, Errc::kWrongType);
  EXPECT_EQ(client->stats().circuit_opened, 0U);
  server_.command({"DEL", key("list")});
}

TEST_F(CircuitBreakerFaults, FullMemoryNeverOpensIt) {
  const auto client = connect(server_.url(), watched(1s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  server_.command({"CONFIG", "SET", "maxmemory", "1"});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(limiter.consume("u", 1).failure, Errc::kOutOfMemory);
  EXPECT_EQ(limiter.consume("u", 0).source, Source::kRedis);
  EXPECT_EQ(client->stats().circuit_opened, 0U);
}

TEST_F(CircuitBreakerFaults, AServerThatTakesNoWritesOpensIt) {
  const auto client = connect(server_.url(), watched(1s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.command({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_TRUE(soon([&] {
    EXPECT_EQ(limiter.consume("u", 1).failure, Errc::kReadOnly);
    return client->stats().circuit_opened == 1;
  }));
  server_.command({"REPLICAOF", "NO", "ONE"});
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 1).source == Source::kRedis; }));
}

TEST_F(CircuitBreakerFaults, ABusyScriptOpensIt) {
  server_.command({"CONFIG", "SET", "busy-reply-threshold", "10"});
  const auto client = connect(server_.url(), watched(1s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  std::thread script([&] { static_cast<void>(server_.command({"EVAL", "while true do end", "0"})); });
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.consume("u", 1));
    return client->stats().circuit_opened == 1;
  }));
  server_.command({"SCRIPT", "KILL"});
  script.join();
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 1).source == Source::kRedis; }));
}

TEST_F(CircuitBreakerFaults, ConnectionsThatAreCutWhileIdleDoNotOpenIt) {
  const auto client = connect(gate_.url(), watched(1s));
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(soon([&] { return limiter.consume("u", 1).source == Source::kRedis; }));
    const int cuts = gate_.cuts();
    gate_.cut();
    EXPECT_TRUE(soon([&] { return gate_.cuts() > cuts; }));
  }
  EXPECT_EQ(client->stats().circuit_opened, 0U);
  EXPECT_GE(client->stats().connects, 20U);
}

// ---- under load ---------------------------------------------------------------------------------------------------

TEST_F(CircuitBreakerFaults, ManyHandlersUnderKAllowAdmitWhileTheServerIsFrozenAndThenUseItAgain) {
  const auto client = connect(server_.url(), watched(100ms));
  RateLimitConfig allow = config(FailurePolicy::kAllow);
  allow.max_tokens_per_minute = kMaxTokens;
  RedisRateLimiter limiter{client, allow};
  std::atomic<bool> stop{false};
  std::atomic<int> by_redis{0};
  std::atomic<int> late{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const auto start = Clock::now();
        const Decision decision = limiter.consume("u", 1);
        EXPECT_TRUE(decision.allowed);
        if (Clock::now() - start > 1s) ++late;
        if (decision.source == Source::kRedis) ++by_redis;
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  EXPECT_TRUE(soon([&] { return by_redis > 100; }));
  server_.pause();
  EXPECT_TRUE(soon([&] { return client->stats().circuit_opened == 1; }));
  std::this_thread::sleep_for(500ms);
  server_.resume();
  const int before = by_redis;
  EXPECT_TRUE(soon([&] { return by_redis > before + 100; }));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(late, 0);
  EXPECT_EQ(client->stats().circuit_opened, 1U);
  EXPECT_EQ(recorder_->count(EventKind::kCircuitClosed), 1);
}

TEST_F(CircuitBreakerFaults, TheCountersOfAClientAddUp) {
  const auto client = connect(server_.url(), watched(1s));
  RedisRateLimiter limiter{client, config()};
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(limiter.check_and_consume("u", 1));
  limiter.reserve("u", 10).cancel();
  ASSERT_TRUE(limiter.drain(Clock::now() + 5s));
  const ClientStats stats = client->stats();
  EXPECT_EQ(stats.latency.total(), 11U);
  EXPECT_EQ(stats.posted, 1U);
  EXPECT_EQ(stats.failed, 0U);
  EXPECT_EQ(stats.connects, 1U);
  server_.kill();
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), Error);
  EXPECT_EQ(client->stats().failed, 1U);
  EXPECT_EQ(client->stats().disconnects, 1U);
  server_.restart();
}

// ---- credentials --------------------------------------------------------------------------------------------------

TEST_F(CircuitBreakerFaults, ARotatedPasswordNeedsNoRestart) {
  server_.command({"ACL", "SETUSER", "gateway", "on", ">first", "~*", "+@all"});
  std::mutex mutex;
  std::string password = "first";
  int asked = 0;
  ClientOptions options = watched(1s);
  options.credentials = [&]() -> Credentials {
    const std::lock_guard lock{mutex};
    ++asked;
    return {.username = "gateway", .password = password};
  };
  // The URL's own would be refused.
  const auto client = connect("redis://nobody:wrong@127.0.0.1:" + std::to_string(server_.port()), options);
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(asked, 1);

  server_.command({"ACL", "SETUSER", "gateway", "resetpass", ">second"});
  server_.command({"CLIENT", "KILL", "USER", "gateway"});
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(limiter.consume("u", 1).failure, Errc::kAuthFailed);
  {
    const std::lock_guard lock{mutex};
    password = "second";
  }
  EXPECT_TRUE(soon([&] { return limiter.consume("u", 1).source == Source::kRedis; }));
  EXPECT_GE(asked, 3);
}

TEST_F(CircuitBreakerFaults, ACredentialsCallbackThatThrowsIsAFailedAttemptAndItsTextAppearsNowhere) {
  ClientOptions options = watched(1s);
  options.credentials = []() -> Credentials { throw std::runtime_error("hunter2"); };
  RedisRateLimiter limiter{connect(server_.url(), options), config()};
  const auto error = thrown_by<Error>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_EQ(error.code(), Errc::kConnectFailed);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("credentials"), Not(HasSubstr("hunter2"))));
  for (const Event& event : recorder_->events()) EXPECT_THAT(event.failure.detail, Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace tollgate::tests
