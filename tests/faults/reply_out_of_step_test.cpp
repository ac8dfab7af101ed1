// A connection that has lost a reply, or has one too many, is out of step: each caller would get the reply to another
// call. It is detected by the first reply that does not fit its command, and then closed.
//
// Not detected are the following, until another check fails (the undo of the next denial does, which has a serial
// number), and only where type and range of the wrong reply fit the command:
// - kPipelined: whole pairs of INCRBY and EXPIRE lost, doubled or swapped; one reply lost or added directly before a
//   counter of 0 or 1, which the EXPIRE before it could have answered; replies altered in place;
// - reads: the values of GET lost, doubled or swapped;
// - error replies, which have no serial number: they make another call fail. When the reply to a script is lost and the
//   next reply is NOSCRIPT, that script is sent again although it was executed.
// In kAtomic a request is granted only by the reply to its own call.

#include <atomic>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class ReplyOutOfStep : public FaultTest, public ::testing::WithParamInterface<Admission> {
 protected:
  ReplyOutOfStep() { config_.admission = GetParam(); }

  /// One thread charges a user whose budget is spent, another a user whose budget is not, while replies are repeatedly
  /// falsified.
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
      EXPECT_TRUE(is_noticed(falsify));
    }
    stop = true;
    spent.join();
    other.join();
    return grants;
  }

  /// Whether a connection ends after `falsify`. It is repeated once, because it may have hit the last replies of a
  /// connection that the client had left.
  bool is_noticed(const std::function<void()>& falsify) {
    const int ended = gate_.ended_connections();
    const auto is_ended = [&] { return gate_.ended_connections() > ended; };
    falsify();
    if (soon(is_ended)) return true;
    falsify();
    return soon(is_ended);
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

// A client for each round: one that has lost several replies may have as many connections that are out of step, and
// each of them makes a call fail.
TEST_P(ReplyOutOfStep, ALoneCallerIsServedAgainAfterOneMoreCallAtMost) {
  for (int i = 0; i < 5; ++i) {
    RedisRateLimiter limiter{connect(gate_.url(), {.connect_timeout = 1s, .command_timeout = 300ms}), config_};
    EXPECT_TRUE(limiter.check_and_consume("u", 10));
    gate_.swallow_replies(1);
    EXPECT_TRUE(limiter.try_consume("u", 1).failure) << i;
    const Decision second = limiter.try_consume("u", 1);
    if (second.allowed) continue;
    const Decision third = limiter.try_consume("u", 1);
    EXPECT_TRUE(third.allowed) << i << ": " << second.failure.message() << "; " << third.failure.message();
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
