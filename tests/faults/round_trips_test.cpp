// Round trips, counted at the socket.

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class RoundTrips : public FaultTest {
 protected:
  // Connected, and the scripts are known to the server.
  void SetUp() override {
    ASSERT_TRUE(limiter_.check_and_consume("warm", kLimit));
    ASSERT_FALSE(limiter_.check_and_consume("warm", 1));
    ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
    turns_before_ = gate_.turns();
    bytes_before_ = gate_.request_bytes();
  }
  [[nodiscard]] int turns() const { return gate_.turns() - turns_before_; }

  std::shared_ptr<RedisClient> client_ = connect(gate_.url(), kPatient);
  RedisRateLimiter limiter_{client_, config()};
  int turns_before_ = 0;
  std::size_t bytes_before_ = 0;
};

TEST_F(RoundTrips, OneForAnAdmittedRequest) {
  EXPECT_TRUE(limiter_.check_and_consume("u", 1));
  EXPECT_EQ(turns(), 1);
}

TEST_F(RoundTrips, OneForADeniedRequestWithoutWaitingForItsUndo) {
  gate_.pass_reply_turns(1);
  EXPECT_FALSE(limiter_.check_and_consume("warm", 1));  // returns although the undo's reply is withheld
  // Nobody calls again, and the undo arrives all the same.
  EXPECT_TRUE(soon([&] { return counter("warm") == kLimit; }));
  EXPECT_TRUE(soon([&] { return turns() == 2; }));
  gate_.pass_reply_turns(1000);
  EXPECT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(limiter_.undelivered().batches, 0U);
}

TEST_F(RoundTrips, NoneForAnImpossibleRequest) {
  const Decision decision = limiter_.consume("u", kLimit + 1);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  EXPECT_EQ(decision.source, Source::kLocal);
  EXPECT_EQ(gate_.request_bytes(), bytes_before_);
}

TEST_F(RoundTrips, OneForGetRemaining) {
  EXPECT_EQ(limiter_.get_remaining("u"), kLimit);
  EXPECT_EQ(turns(), 1);
}

TEST_F(RoundTrips, OneForAnAtomicDecisionEitherWay) {
  RedisRateLimiter limiter{client_, atomic_config()};
  static_cast<void>(limiter.check_and_consume("other", 1));  // the server uses_deny_memory the script
  const int before = gate_.turns();
  EXPECT_TRUE(limiter.check_and_consume("other", 1));
  EXPECT_FALSE(limiter.check_and_consume("other", kLimit));
  EXPECT_EQ(gate_.turns() - before, 2);
}

TEST_F(RoundTrips, TwoForTheRequestAfterADenialWhichReadsTheCounterFirst) {
  RateLimitConfig remembering = config();
  remembering.deny_memory = 1s;
  RedisRateLimiter limiter{client_, remembering};
  ASSERT_TRUE(limiter.check_and_consume("u", 9'000));
  ASSERT_FALSE(limiter.check_and_consume("u", 2'000));
  ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
  server_.command({"DECRBY", key("u"), "5000"});
  const int before = gate_.turns();
  EXPECT_TRUE(limiter.check_and_consume("u", 2'000));
  EXPECT_EQ(gate_.turns() - before, 2);
}

TEST_F(RoundTrips, NoneWhenAReadCounterShowsThatItCannotFit) {
  RateLimitConfig remembering = config();
  remembering.deny_memory = 1s;
  RedisRateLimiter limiter{client_, remembering};
  ASSERT_TRUE(limiter.check_and_consume("u", 9'000));
  ASSERT_FALSE(limiter.check_and_consume("u", 2'000));  // charged and undone
  ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
  ASSERT_FALSE(limiter.check_and_consume("u", 2'000));  // looked
  const std::size_t before = gate_.request_bytes();
  EXPECT_EQ(limiter.consume("u", 2'000).source, Source::kLocal);
  EXPECT_EQ(gate_.request_bytes(), before);
  EXPECT_TRUE(limiter.check_and_consume("u", 1'000));
}

TEST_F(RoundTrips, OneForManyRequests) {
  const std::vector<ConsumeRequest> requests{{"a", 1}, {"warm", 1}, {"b", kLimit + 1}, {"c", 0}, {"", 1}, {"d", 2}};
  gate_.pass_reply_turns(1);
  EXPECT_EQ(limiter_.consume_all(requests).size(), requests.size());  // returns although the undo's reply is withheld
  EXPECT_TRUE(soon([&] { return turns() == 2; }));
  gate_.pass_reply_turns(1000);
  ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("warm"), kLimit);
}

}  // namespace
}  // namespace tollgate::tests
