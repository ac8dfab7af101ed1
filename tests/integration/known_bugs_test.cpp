// The bugs of the plain "GET, INCRBY, EXPIRE; DECRBY when over" limiter, each shown to be absent on a real
// redis-server. B (innocents denied) is in false_denials_test.cpp; F (connection lost between INCRBY and EXPIRE) needs
// a cut connection and is in tests/faults.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "decisions/keys.hpp"
#include "integration/processes.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using testing::RedisServer;

constexpr std::int64_t kLimit = 10'000;

class KnownBugs : public ::testing::TestWithParam<Admission> {
 protected:
  static void SetUpTestSuite() { server_ = std::make_unique<RedisServer>(); }
  static void TearDownTestSuite() { server_.reset(); }
  static RedisServer& server() { return *server_; }

  void TearDown() override {
    EXPECT_THAT(server().keys_without_ttl(), IsEmpty());
    server().command({"FLUSHALL"});
  }

  [[nodiscard]] RateLimitConfig config() const {
    return {.max_tokens_per_minute = kLimit, .admission = GetParam(), .deny_memory = 0ms, .clock = clock_};
  }
  [[nodiscard]] std::string key(std::string_view user) const {
    return std::string{
        decisions::Key::counter(RateLimitConfig{}.key_prefix, user, decisions::window_at(clock_->now())).view()};
  }
  [[nodiscard]] std::shared_ptr<RedisClient> new_client() const { return connect(server().url(), kPatient); }

  static inline const ClientOptions kPatient{.connect_timeout = 5s, .command_timeout = 5s};
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();

 private:
  static inline std::unique_ptr<RedisServer> server_;
};

/// Does something between a denied charge's reply and its undo.
class BeforeUndo final : public RedisClient {
 public:
  BeforeUndo(std::shared_ptr<RedisClient> client, std::function<void()> action)
      : client_(std::move(client)), action_(std::move(action)) {}
  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    return client_->execute(batch, deadline, late);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    action_();
    client_->post(std::move(batch), std::move(handler));
  }
  bool drain(std::chrono::steady_clock::time_point deadline) override { return client_->drain(deadline); }

 private:
  std::shared_ptr<RedisClient> client_;
  std::function<void()> action_;
};

TEST_P(KnownBugs, A_ManyProcessesNeverAdmitMoreThanTheLimit) {
  struct Counters {
    std::atomic<std::int64_t> admitted{0};
    std::atomic<std::int64_t> denied{0};
  };
  const tests::SharedCounters<Counters> counters;
  tests::Processes processes;
  for (int i = 0; i < 16; ++i) {
    processes.start([&, i] {
      RedisRateLimiter limiter{new_client(), config()};
      for (int call = 0; call < 300; ++call) {
        const std::int64_t tokens = 1 + (call * 7 + i) % 13;
        if (limiter.check_and_consume("shared", tokens)) {
          counters->admitted += tokens;
        } else {
          ++counters->denied;
        }
      }
    });
  }
  EXPECT_EQ(processes.join(), 0);
  EXPECT_GT(counters->denied, 0);
  EXPECT_LE(counters->admitted, kLimit);
  EXPECT_GT(counters->admitted, kLimit / 2);
  EXPECT_EQ(server().command({"GET", key("shared")}).to_integer(), counters->admitted);
}

TEST_P(KnownBugs, C_AnUndoThatFindsItsKeyGoneLeavesNoKey) {
  const auto client = std::make_shared<BeforeUndo>(new_client(), [&] { server().command({"DEL", key("u")}); });
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", kLimit));
  EXPECT_FALSE(limiter.check_and_consume("u", 5'000));
  ASSERT_TRUE(client->drain(std::chrono::steady_clock::now() + 5s));
  if (GetParam() == Admission::kPipelined) {
    EXPECT_EQ(server().command({"EXISTS", key("u")}).to_integer(), 0);
  }
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_P(KnownBugs, C_AnUndoNeverBringsACounterBelowZero) {
  const auto client = std::make_shared<BeforeUndo>(new_client(), [&] {
    server().command({"SET", key("u"), "3", "KEEPTTL"});
  });
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", kLimit));
  EXPECT_FALSE(limiter.check_and_consume("u", 5'000));
  ASSERT_TRUE(client->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(server().command({"GET", key("u")}).to_integer(), GetParam() == Admission::kPipelined ? 0 : kLimit);
}

TEST_P(KnownBugs, D_ADenialKeepsUsageAndExpiry) {
  const auto client = new_client();
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 9'000));
  EXPECT_FALSE(limiter.check_and_consume("u", 1'001));
  ASSERT_TRUE(client->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(server().command({"GET", key("u")}).to_integer(), 9'000);
  const auto ttl = server().command({"TTL", key("u")}).to_integer();
  EXPECT_GT(ttl, 0);
  EXPECT_LE(ttl, 60);
}

TEST_P(KnownBugs, E_NegativeTokensAreRefusedBeforeAnythingIsSent) {
  RedisRateLimiter limiter{new_client(), config()};
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", -50'000)), std::invalid_argument);
  EXPECT_THROW(limiter.record("u", -1), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(limiter.reserve("u", -1)), std::invalid_argument);
  EXPECT_EQ(server().command({"DBSIZE"}).to_integer(), 0);
}

TEST_P(KnownBugs, G_ResetDoesNotInterpretAUserIdAsAPattern) {
  const auto client = new_client();
  RedisRateLimiter limiter{client, config()};
  const std::vector<std::string> users{"*", "a", "a:b", "ab", "?", "[a]", "\\*", "a*"};
  for (const std::string& user : users) ASSERT_TRUE(limiter.check_and_consume(user, 7));
  for (const std::string& user : users) {
    limiter.reset(user);
    EXPECT_EQ(limiter.get_remaining(user), kLimit) << user;
    EXPECT_EQ(server().command({"DBSIZE"}).to_integer(), static_cast<std::int64_t>(users.size()) - 1) << user;
    ASSERT_TRUE(limiter.check_and_consume(user, 7));
  }
}

TEST_P(KnownBugs, H_ACounterNearTheEndOfInt64IsATypedErrorAndLaterRepliesAreCorrect) {
  const auto client = new_client();
  RedisRateLimiter limiter{client, config()};
  const std::string near_end = std::to_string(std::numeric_limits<std::int64_t>::max() - 2);
  server().command({"SET", key("u"), near_end, "EX", "60"});
  if (GetParam() == Admission::kPipelined) {
    try {
      static_cast<void>(limiter.check_and_consume("u", 5));
      FAIL() << "nothing was thrown";
    } catch (const ServerError& error) {
      EXPECT_EQ(error.code(), Errc::kOverflow);
      EXPECT_FALSE(error.may_have_executed());
    }
  } else {
    EXPECT_FALSE(limiter.check_and_consume("u", 5));
  }
  EXPECT_EQ(server().command({"GET", key("u")}).text(), near_end);
  EXPECT_EQ(limiter.get_remaining("u"), 0);
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(limiter.consume("other", 1).remaining, kLimit - i);
  }
}

TEST_P(KnownBugs, I_AThousandCallsUseOneConnection) {
  const auto connections = [&] {
    const std::string info = server().command({"INFO", "stats"}).text();
    const std::string field = "total_connections_received:";
    return std::stoll(info.substr(info.find(field) + field.size()));
  };
  const auto before = connections();
  RedisRateLimiter limiter{new_client(), config()};
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(connections() - before, 2);  // the limiter's, and the one that asks now
}

TEST_P(KnownBugs, I_AFrozenRedisDelaysNoCallPastTheCommandTimeout) {
  RedisRateLimiter limiter{server().url(), config()};  // with its default, 250 ms
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server().pause();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), TimeoutError);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
  server().resume();
}

INSTANTIATE_TEST_SUITE_P(, KnownBugs, ::testing::Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& test) { return test.param == Admission::kAtomic ? "Atomic" : "Pipelined"; });

}  // namespace
}  // namespace tollgate
