// A connection that has lost a reply, or has one too many, is out of step: each caller is given another's answer.

#include <atomic>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class ReplyOutOfStep : public FaultTest {
 protected:
  RateLimitConfig of(Admission admission) const {
    RateLimitConfig config = this->config();
    config.admission = admission;
    return config;
  }
  /// One thread asks for a user whose budget is spent, another for one whose budget is not, while one reply is lost.
  int grants_to_a_spent_budget(Admission admission) {
    RedisRateLimiter limiter{connect(gate_.url(), kQuick), of(admission)};
    EXPECT_TRUE(limiter.check_and_consume("spent", kLimit));
    EXPECT_TRUE(limiter.check_and_consume("other", 1));
    std::atomic<bool> stop{false};
    std::atomic<int> grants{0};
    std::thread spent([&] {
      while (!stop) {
        if (limiter.try_consume("spent", 100).allowed) ++grants;
      }
    });
    std::thread other([&] {
      while (!stop) static_cast<void>(limiter.try_consume("other", 1));
    });
    std::this_thread::sleep_for(100ms);
    gate_.swallow_replies(1);
    std::this_thread::sleep_for(1s);
    stop = true;
    spent.join();
    other.join();
    return grants;
  }
  bool is_served_again(Admission admission) {
    RedisRateLimiter limiter{connect(gate_.url(), kQuick), of(admission)};
    EXPECT_TRUE(limiter.check_and_consume("u", 1));
    gate_.swallow_replies(1);
    return static_cast<bool>(limiter.try_consume("u", 1).failure) &&
           soon([&] { return limiter.try_consume("u", 1).allowed; });
  }
};

TEST_F(ReplyOutOfStep, ALostReplyGrantsNothingPipelined) {
  EXPECT_EQ(grants_to_a_spent_budget(Admission::kPipelined), 0);
}
TEST_F(ReplyOutOfStep, ALostReplyGrantsNothingAtomic) { EXPECT_EQ(grants_to_a_spent_budget(Admission::kAtomic), 0); }

TEST_F(ReplyOutOfStep, ALoneCallerIsServedAgainPipelined) { EXPECT_TRUE(is_served_again(Admission::kPipelined)); }
TEST_F(ReplyOutOfStep, ALoneCallerIsServedAgainAtomic) { EXPECT_TRUE(is_served_again(Admission::kAtomic)); }

}  // namespace
}  // namespace tollgate::tests
