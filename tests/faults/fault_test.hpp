/// The fixture of the fault tests: a private server, a gate before it, a manual clock, and a final check for keys
/// without expiry.
/// Thread safety: one test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "decisions/keys.hpp"
#include "faults/tcp_gate.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {

using namespace std::chrono_literals;

constexpr std::int64_t kLimit = 10'000;

/// Counts events, and keeps the last one.
class CountingHandler final : public ReplyHandler {
 public:
  void handle(RedisClient& /*client*/, const CommandBatch& /*batch*/, const BatchResult& result) noexcept override {
    const std::lock_guard lock{mutex_};
    ++calls_;
    if (result.ok()) ++replies_;
    last_ = result;
  }
  [[nodiscard]] int calls() const {
    const std::lock_guard lock{mutex_};
    return calls_;
  }
  [[nodiscard]] int replies() const {
    const std::lock_guard lock{mutex_};
    return replies_;
  }
  [[nodiscard]] BatchResult last() const {
    const std::lock_guard lock{mutex_};
    return last_;
  }

 private:
  mutable std::mutex mutex_;
  int calls_ = 0;
  int replies_ = 0;
  BatchResult last_;
};

class FaultTest : public ::testing::Test {
 protected:
  explicit FaultTest(std::vector<std::string> arguments = {}) : server_(std::move(arguments)), gate_(server_.port()) {}

  /// With a server that speaks TLS; `certificates` must outlive the fixture.
  explicit FaultTest(const testing::TlsCertificates& certificates) : server_(certificates), gate_(server_.port()) {}

  void TearDown() override {
    if (server_.pid() == 0) return;
    EXPECT_THAT(server_.keys_without_ttl(), ::testing::IsEmpty());
  }

  [[nodiscard]] RateLimitConfig config() const {
    return {.max_tokens_per_minute = kLimit, .deny_memory = 0ms, .clock = clock_};
  }
  [[nodiscard]] RateLimitConfig config(FailurePolicy policy) const {
    RateLimitConfig config = this->config();
    config.on_failure = policy;
    return config;
  }
  [[nodiscard]] RateLimitConfig atomic_config() const {
    RateLimitConfig config = this->config();
    config.admission = Admission::kAtomic;
    return config;
  }

  [[nodiscard]] std::string key(std::string_view user) const {
    return std::string{
        decisions::Key::counter(RateLimitConfig{}.key_prefix, user, decisions::window_at(clock_->now())).view()};
  }
  [[nodiscard]] std::int64_t counter(std::string_view user) const {
    return server_.command({"GET", key(user)}).to_integer().value_or(0);
  }
  [[nodiscard]] std::int64_t info(const std::string& section, const std::string& field) const {
    const std::string text = server_.command({"INFO", section}).text();
    return std::stoll(text.substr(text.find(field + ":") + field.size() + 1));
  }

  /// Whether `holds` becomes true within 5 s.
  [[nodiscard]] static bool soon(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 5s; std::chrono::steady_clock::now() < end;) {
      if (holds()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return holds();
  }

  /// What `call` throws; a test fails when it throws nothing.
  template <class Exception, class Call>
  static Exception thrown_by(Call call) {
    try {
      call();
    } catch (const Exception& error) {
      return error;
    }
    throw std::logic_error("nothing was thrown");
  }

  static inline const ClientOptions kPatient{.connect_timeout = 10s, .command_timeout = 10s};
  static inline const ClientOptions kQuick{.connect_timeout = 1s, .command_timeout = 100ms};

  testing::RedisServer server_;
  TcpGate gate_;
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
};

}  // namespace tollgate::tests
