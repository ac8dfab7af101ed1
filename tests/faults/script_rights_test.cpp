// A Redis that refuses scripts, by its ACL or because the commands are renamed: a denied charge does not deny others,
// and the error, ping() and an event name the rights to grant.

#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class EventCounter final : public Observer {
 public:
  void on_event(const Event& event) noexcept override {
    if (event.failure.code) ++failures;
  }
  std::atomic<int> failures{0};
};

class ScriptRights : public FaultTest {
 protected:
  explicit ScriptRights(std::vector<std::string> arguments = {}) : FaultTest(std::move(arguments)) {}

  [[nodiscard]] RateLimitConfig small() const {
    RateLimitConfig config = this->config();
    config.max_tokens_per_minute = 1'000;
    return config;
  }
  /// 600 of 1000, 600 again, which is denied, and 300 by another limiter.
  void one_refusal_denies_no_other() {
    const auto events = std::make_shared<EventCounter>();
    RateLimitConfig observed = small();
    observed.observer = events;
    RedisRateLimiter first{connect(server_.url(), {.command_timeout = 5s, .observer = events}), observed};
    RedisRateLimiter second{connect(server_.url(), kPatient), small()};
    EXPECT_TRUE(first.check_and_consume("u", 600));
    EXPECT_FALSE(first.check_and_consume("u", 600));
    EXPECT_TRUE(first.drain(std::chrono::steady_clock::now() + 5s));
    EXPECT_TRUE(second.check_and_consume("u", 300));
    EXPECT_EQ(counter("u"), 900);
    EXPECT_GT(events->failures, 0);
  }
  static bool is_pinged_soon(RedisRateLimiter& limiter) {
    return soon([&] {
      try {
        limiter.ping();
        return true;
      } catch (const Error&) {
        return false;
      }
    });
  }
  void ping_names_the_rights() {
    RedisRateLimiter limiter{connect(server_.url(), kPatient), small()};
    std::string text = "no error";
    try {
      limiter.ping();
    } catch (const Error& error) {
      text = error.what();
    }
    EXPECT_THAT(text, ::testing::HasSubstr("EVAL"));
    EXPECT_THAT(text, ::testing::HasSubstr("EVALSHA"));
  }
};

class RefusedByAcl : public ScriptRights {
 protected:
  RefusedByAcl() { server_.command({"ACL", "SETUSER", "default", "-eval", "-evalsha"}); }
};

class RenamedAway : public ScriptRights {
 protected:
  RenamedAway() : ScriptRights({"--rename-command", "EVAL", "", "--rename-command", "EVALSHA", ""}) {}
};

TEST_F(RefusedByAcl, OneDenialDoesNotDenyOthers) { one_refusal_denies_no_other(); }
TEST_F(RefusedByAcl, PingNamesTheRightsToGrant) { ping_names_the_rights(); }

TEST_F(RefusedByAcl, ManyDenialsInOneCallDoNotDenyOthers) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), small()};
  ASSERT_TRUE(limiter.check_and_consume("u", 600));
  const std::vector<ConsumeRequest> requests{{"u", 600}, {"u", 500}, {"u", 300}};
  const std::vector<Decision> decisions = limiter.consume_all(requests);
  EXPECT_FALSE(decisions[0].allowed);
  EXPECT_FALSE(decisions[1].allowed);
  EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), decisions[2].allowed ? 900 : 600);
}

TEST_F(RefusedByAcl, ScriptsAreUsedOnceTheRightIsGranted) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), small()};
  ASSERT_TRUE(limiter.check_and_consume("u", 600));
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  server_.command({"ACL", "SETUSER", "default", "+eval", "+evalsha"});
  EXPECT_TRUE(is_pinged_soon(limiter));
  EXPECT_FALSE(limiter.check_and_consume("u", 600));
  EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), 600);
}

TEST_F(ScriptRights, ARightThatIsRevokedOnALiveConnectionIsReportedOnceAndByPing) {
  const auto events = std::make_shared<EventCounter>();
  RateLimitConfig observed = small();
  observed.observer = events;
  RedisRateLimiter limiter{connect(server_.url(), kPatient), observed};
  ASSERT_TRUE(limiter.check_and_consume("u", 600));
  limiter.ping();
  server_.command({"ACL", "SETUSER", "default", "-eval", "-evalsha"});
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(limiter.check_and_consume("u", 600));
    EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
    EXPECT_EQ(counter("u"), 600);
  }
  EXPECT_EQ(events->failures, 1);
  EXPECT_THROW(limiter.ping(), Error);
  limiter.record("u", 100);
  EXPECT_EQ(counter("u"), 700);
  server_.command({"ACL", "SETUSER", "default", "+eval", "+evalsha"});
  EXPECT_TRUE(is_pinged_soon(limiter));
}

TEST_F(RenamedAway, OneDenialDoesNotDenyOthers) { one_refusal_denies_no_other(); }
TEST_F(RenamedAway, PingNamesTheRightsToGrant) { ping_names_the_rights(); }

}  // namespace
}  // namespace tollgate::tests
