// A proxy that closes the connection at SCAN: reset() fails, and says what it did before; the calls of other threads
// are not in doubt, for reset's commands go over a connection that carries no charge.

#include <atomic>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class ResetConnection : public FaultTest {
 protected:
  ResetConnection() { gate_.close_on("SCAN"); }

  std::string text_of_failed_reset(RedisRateLimiter& limiter, std::string_view user) {
    try {
      limiter.reset(user);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  [[nodiscard]] static ClientOptions options() { return {.connect_timeout = 5s, .command_timeout = 5s}; }
};

TEST_F(ResetConnection, TwentyResetsLeaveNoCallOfOtherThreadsInDoubt) {
  const auto client = connect(gate_.url(), options());
  RedisRateLimiter resetting{client, config()};
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("warm", 1));
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, user = "user_" + std::to_string(i)] {
      while (!stop) ++(limiter.try_consume(user, 1).source == Source::kRedis ? answered : failed);
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW(resetting.reset("reset"), Error);
    std::this_thread::sleep_for(5ms);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(gate_.closed_on_word(), 20);
  EXPECT_GT(answered, 100);
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(limiter.stats().in_doubt, 0U);
}

TEST_F(ResetConnection, TheErrorSaysThatTheWindowsWereDeletedAndTheScanWasNotDone) {
  RedisRateLimiter limiter{connect(gate_.url(), options()), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 4'000));
  const std::string text = text_of_failed_reset(limiter, "u");
  EXPECT_THAT(text, ::testing::HasSubstr("SCAN"));
  EXPECT_THAT(text, ::testing::HasSubstr("window"));
  EXPECT_EQ(limiter.get_remaining("u"), kLimit);
}

TEST_F(ResetConnection, TheErrorSaysTheSameWhenRedisRefusesTheScan) {
  gate_.close_on("");
  server_.command({"ACL", "SETUSER", "default", "-scan"});
  RedisRateLimiter limiter{connect(gate_.url(), options()), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 4'000));
  const std::string text = text_of_failed_reset(limiter, "u");
  EXPECT_THAT(text, ::testing::HasSubstr("SCAN"));
  EXPECT_THAT(text, ::testing::HasSubstr("window"));
  EXPECT_EQ(limiter.get_remaining("u"), kLimit);
}

TEST_F(ResetConnection, AResetThatIsNotCutDeletesTheWindowsAndFailsNothing) {
  gate_.close_on("");
  RedisRateLimiter limiter{connect(gate_.url(), options()), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 4'000));
  EXPECT_NO_THROW(limiter.reset("u"));
  EXPECT_EQ(limiter.get_remaining("u"), kLimit);
}

}  // namespace
}  // namespace tollgate::tests
