// A connection that has lost a reply, or has one too many, is out of step: each caller would be given another's answer.
// It is noticed by the first reply that cannot answer the command whose turn it is, and given up.
//
// What stays unnoticed, each for as long as nothing else gives the connection away (the next denial does: its undo is
// signed), and only what passes for an answer in kind and range:
// - kPipelined: whole pairs of INCRBY and EXPIRE lost, doubled or swapped; one reply lost or invented directly before a
//   counter of 0 or 1, which the EXPIRE before it could have answered; replies altered in place;
// - what only looks: the values of GET lost, doubled or swapped;
// - error replies, which carry no serial number: they make another's call fail. One of them is acted upon: when the
// answer
//   of a script is lost and the next reply is NOSCRIPT, that script is sent again though it was run.
// In kAtomic nothing is granted but by the answer to that very call.

#include <atomic>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class ReplyOutOfStep : public FaultTest, public ::testing::WithParamInterface<Admission> {
 protected:
  ReplyOutOfStep() { config_.admission = GetParam(); }

  /// One thread asks for a user whose budget is spent, another for one whose budget is not, while replies are falsified
  /// again and again.
  int grants_to_a_spent_budget(const std::function<void()>& falsify) {
    RedisRateLimiter limiter{connect(gate_.url(), kQuick), config_};
    EXPECT_TRUE(limiter.check_and_consume("spent", kLimit));
    EXPECT_TRUE(limiter.check_and_consume("other", 10));
    std::atomic<bool> stop{false};
    std::atomic<int> grants{0};
    std::atomic<int> answers{0};
    std::thread spent([&] {
      while (!stop) {
        const Decision decision = limiter.try_consume("spent", 100);
        if (decision.allowed) ++grants;
        if (!decision.failure) ++answers;
      }
    });
    std::thread other([&] {
      while (!stop) static_cast<void>(limiter.try_consume("other", 1));
    });
    for (int i = 0; i < 20 && !HasFailure(); ++i) {
      const int before = answers;
      EXPECT_TRUE(soon([&] { return answers > before + 20; })) << "callers are not served again";
      const int connections = gate_.connections();
      falsify();
      EXPECT_TRUE(soon([&] { return gate_.connections() > connections; })) << "it is not noticed";
    }
    stop = true;
    spent.join();
    other.join();
    return grants;
  }

  RateLimitConfig config_ = config();
};

TEST_P(ReplyOutOfStep, ALostReplyGrantsNothing) {
  EXPECT_EQ(grants_to_a_spent_budget([&] { gate_.swallow_replies(1); }), 0);
}

TEST_P(ReplyOutOfStep, AnAdditionalReplyGrantsNothing) {
  EXPECT_EQ(grants_to_a_spent_budget([&] { gate_.insert_into_replies(":1\r\n"); }), 0);
}

TEST_P(ReplyOutOfStep, AnAdditionalReplyOfAScriptGrantsNothing) {
  EXPECT_EQ(grants_to_a_spent_budget([&] { gate_.insert_into_replies("$3\r\n1 1\r\n"); }), 0);
}

TEST_P(ReplyOutOfStep, ALoneCallerIsServedAgainAfterOneMoreCallAtMost) {
  RedisRateLimiter limiter{connect(gate_.url(), kQuick), config_};
  EXPECT_TRUE(limiter.check_and_consume("u", 10));
  for (int i = 0; i < 5; ++i) {
    gate_.swallow_replies(1);
    EXPECT_TRUE(limiter.try_consume("u", 1).failure);
    const bool second = limiter.try_consume("u", 1).allowed;
    EXPECT_TRUE(second || limiter.try_consume("u", 1).allowed) << i;
  }
}

TEST_P(ReplyOutOfStep, EveryCallInFlightIsInDoubt) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config_};
  EXPECT_TRUE(limiter.check_and_consume("u", 10));
  gate_.insert_into_replies("+OK\r\n");
  const Error error = thrown_by<Error>([&] { static_cast<void>(limiter.consume("u", 10)); });
  EXPECT_EQ(error.code(), Errc::kProtocol);
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_EQ(counter("u"), 20);
}

INSTANTIATE_TEST_SUITE_P(, ReplyOutOfStep, ::testing::Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& test) { return test.param == Admission::kAtomic ? "Atomic" : "Pipelined"; });

}  // namespace
}  // namespace tollgate::tests
