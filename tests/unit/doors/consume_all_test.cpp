// Many requests in one call: one round trip, and one decision each, as by single calls.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "clients/memory_client.hpp"
#include "unit/doors/limiter_test.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::_;
using testing::bulk;
using ::testing::DoAll;
using testing::error;
using ::testing::InSequence;
using testing::integer;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;
using ::testing::Throw;

using Requests = std::vector<ConsumeRequest>;

class ConsumeAll : public LimiterTest {
 protected:
  /// "yes 90, no 9, no ?": what was decided, and what remains where it is known.
  static std::string summary(const std::vector<Decision>& decisions) {
    std::string text;
    for (const Decision& decision : decisions) {
      if (!text.empty()) text += ", ";
      text += decision.allowed ? "yes " : "no ";
      text += decision.remaining ? std::to_string(*decision.remaining) : "?";
    }
    return text;
  }

  static std::string charge_of(const std::string& user, int tokens) {
    return "INCRBY \"p:" + user + ":29453760\" " + std::to_string(tokens) + ", EXPIRE \"p:" + user + ":29453760\" 60";
  }
  static std::string undo_of(const std::string& user, int tokens) {
    return "EVALSHA adjust \"p:" + user + ":29453760\" -" + std::to_string(tokens) + " 60";
  }
};

TEST_F(ConsumeAll, SendsAllInOneRoundTrip) {
  expect_execute('[' + charge_of("a", 10) + ", " + charge_of("b", 1) + ", " + charge_of("c", 30) + ']',
                 {integer(10), integer(1), integer(100), integer(1), integer(30), integer(1)});
  const auto decisions = limiter().consume_all(Requests{{"a", 10}, {"b"}, {"c", 30}});
  EXPECT_EQ(summary(decisions), "yes 90, yes 0, yes 70");
  for (const Decision& decision : decisions) {
    EXPECT_EQ(decision.source, Source::kRedis);
    EXPECT_EQ(decision.limit, 100);
    EXPECT_EQ(decision.reset_after, 60'000ms);
    EXPECT_FALSE(decision.failure);
  }
}

TEST_F(ConsumeAll, OfNoRequestsSendsNothing) { EXPECT_TRUE(limiter().consume_all({}).empty()); }

TEST_F(ConsumeAll, UndoesWhatIsDeniedAndOnlyThatInOnePost) {
  const InSequence in_sequence;
  expect_execute('[' + charge_of("a", 10) + ", " + charge_of("b", 20) + ", " + charge_of("c", 30) + ']',
                 {integer(101), integer(1), integer(20), integer(1), integer(130), integer(1)});
  expect_post('[' + undo_of("a", 10) + ", " + undo_of("c", 30) + ']');
  EXPECT_EQ(summary(limiter().consume_all(Requests{{"a", 10}, {"b", 20}, {"c", 30}})), "no 9, yes 80, no 0");
}

TEST_F(ConsumeAll, IgnoresTheTokensOfItsOwnDenialsWhenItCharges) {
  expect_execute(
      '[' + charge_of("a", 50) + ", " + charge_of("a", 10) + ", " + charge_of("b", 60) + ", " + charge_of("a", 1) + ']',
      {integer(140), integer(1), integer(150), integer(1), integer(60), integer(1), integer(151), integer(1)});
  expect_post('[' + undo_of("a", 50) + ", " + undo_of("a", 1) + ']');
  EXPECT_EQ(summary(limiter().consume_all(Requests{{"a", 50}, {"a", 10}, {"b", 60}, {"a", 1}})),
            "no 10, yes 0, yes 40, no 0");
}

TEST_F(ConsumeAll, IgnoresTheTokensOfItsOwnDenialsWhenItPeeks) {
  expect_execute('[' + charge_of("a", 50) + ", GET \"p:a:29453760\"]", {integer(140), integer(1), bulk("140")});
  expect_post('[' + undo_of("a", 50) + ']');
  EXPECT_EQ(summary(limiter().consume_all(Requests{{"a", 50}, {"a", 0}})), "no 10, yes 10");
}

TEST_F(ConsumeAll, DecidesLocallyWhatNeverFitsAndWhatIsRemembered) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(20, 90);
  EXPECT_FALSE(limiter.check_and_consume("user", 20));
  expect_peek(90);
  EXPECT_FALSE(limiter.check_and_consume("user", 20));

  const auto decisions = limiter.consume_all(Requests{{"user", 101}, {"user", 20}, {"user", 11}});
  EXPECT_EQ(summary(decisions), "no ?, no ?, no ?");
  EXPECT_EQ(decisions[0].retry_after, std::nullopt);
  EXPECT_EQ(decisions[1].retry_after, 60'000ms);
  for (const Decision& decision : decisions) EXPECT_EQ(decision.source, Source::kLocal);
}

TEST_F(ConsumeAll, PeeksFirstWhereADenialIsRememberedAndChargesWhatFits) {
  RedisRateLimiter limiter = this->limiter();
  expect_denied_charge(20, 90);
  EXPECT_FALSE(limiter.check_and_consume("user", 20));

  const InSequence in_sequence;
  expect_execute("[GET \"p:user:29453760\", " + charge_of("b", 5) + ", GET \"p:user:29453760\"]",
                 {bulk("70"), integer(5), integer(1), bulk("70")});
  expect_execute('[' + charge_of("user", 25) + ']', {integer(95), integer(1)});
  EXPECT_EQ(summary(limiter.consume_all(Requests{{"user", 25}, {"b", 5}, {"user", 31}})), "yes 5, yes 95, no 30");
}

TEST_F(ConsumeAll, RunsOneScriptEachUnderAtomicAdmission) {
  expect_execute("[EVALSHA admit \"p:a:29453760\" 10 100 60, EVALSHA admit \"p:b:29453760\" 20 100 60]",
                 {integer(10), integer(-91)});
  EXPECT_EQ(summary(limiter(atomic()).consume_all(Requests{{"a", 10}, {"b", 20}})), "yes 90, no 10");
}

TEST_F(ConsumeAll, RemembersItsDenials) {
  RedisRateLimiter limiter = this->limiter();
  expect_execute('[' + charge_of("user", 20) + ", " + charge_of("b", 1) + ']',
                 {integer(110), integer(1), integer(1), integer(1)});
  expect_post('[' + undo_of("user", 20) + ']');
  EXPECT_EQ(summary(limiter.consume_all(Requests{{"user", 20}, {"b"}})), "no 10, yes 99");
  expect_peek(90);
  EXPECT_FALSE(limiter.check_and_consume("user", 20));
}

TEST_F(ConsumeAll, ShareRoundTripsBy256) {
  std::vector<std::size_t> sizes;
  EXPECT_CALL(*client_, execute).Times(3).WillRepeatedly([&](const CommandBatch& batch, auto, auto) {
    sizes.push_back(batch.size());
    return testing::answer_with_counters_at(0, batch);
  });
  const Requests requests(600, {"user", 0});
  EXPECT_EQ(limiter().consume_all(requests).size(), 600U);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{256, 256, 88}));
}

TEST_F(ConsumeAll, RefusesOnlyTheRequestsWhoseArgumentsAreOutOfRange) {
  expect_execute('[' + charge_of("a", 1) + ", " + charge_of("b", 2) + ']',
                 {integer(1), integer(1), integer(2), integer(1)});
  const std::string too_long(513, 'x');
  const auto decisions =
      limiter().consume_all(Requests{{"a"}, {""}, {too_long}, {"a", -1}, {"a", kMaxTokens + 1}, {"b", 2}});
  EXPECT_EQ(summary(decisions), "yes 99, no ?, no ?, no ?, no ?, yes 98");
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_EQ(decisions[i].failure, std::errc::invalid_argument);
    EXPECT_EQ(decisions[i].source, Source::kLocal);
    EXPECT_EQ(decisions[i].limit, 100);
  }
}

TEST_F(ConsumeAll, TakesTheLongestIdsAndTheLargestNumbers) {
  const std::string longest(512, 'x');
  RateLimitConfig config = this->config();
  config.max_tokens_per_minute = kMaxTokens;
  expect_execute(
      '[' + charge_of(longest, 1) + ", INCRBY \"p:a:29453760\" 9007199254740991, EXPIRE \"p:a:29453760\" 60]",
      {integer(1), integer(1), integer(kMaxTokens), integer(1)});
  EXPECT_EQ(summary(limiter(config).consume_all(Requests{{longest}, {"a", kMaxTokens}})),
            "yes 9007199254740990, yes 0");
}

TEST_F(ConsumeAll, RefusesAnOperationId) {
  EXPECT_EQ(
      rejection([&] { static_cast<void>(limiter(atomic()).consume_all(Requests{{"a"}}, {.operation_id = "op-1"})); }),
      "tollgate: operation_id is set, but consume_all is as many operations as requests");
}

TEST_F(ConsumeAll, PassesItsDeadlineToTheClient) {
  const auto deadline = std::chrono::steady_clock::time_point{} + 1h;
  EXPECT_CALL(*client_, execute(_, RedisClient::Deadline{deadline}, _))
      .WillOnce(Return(replies({integer(1), integer(1)})));
  EXPECT_TRUE(limiter().consume_all(Requests{{"a"}}, {.deadline = deadline})[0].allowed);
}

TEST_F(ConsumeAll, FailsForAllWhenTheRoundTripFailsAndThrowsUnderNoPolicy) {
  for (const FailurePolicy policy : {FailurePolicy::kThrow, FailurePolicy::kDeny, FailurePolicy::kAllow}) {
    EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kConnectFailed)));
    const auto decisions = limiter(with_policy(policy)).consume_all(Requests{{"a"}, {"b", 0}, {"c", 101}});
    EXPECT_EQ(summary(decisions), policy == FailurePolicy::kAllow ? "yes ?, yes ?, no ?" : "no ?, no ?, no ?");
    EXPECT_EQ(decisions[0].failure, Errc::kConnectFailed);
    EXPECT_EQ(decisions[1].failure, Errc::kConnectFailed);
    EXPECT_FALSE(decisions[2].failure);  // no round trip was needed
  }
}

TEST_F(ConsumeAll, GrantsEachFromTheLocalShare) {
  EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kConnectFailed)));
  expect_post("[EVALSHA adjust \"p:a:29453760\" 6 60]");
  expect_post("[EVALSHA adjust \"p:b:29453760\" 5 60]");
  EXPECT_EQ(
      summary(limiter(with_policy(FailurePolicy::kLocalShare)).consume_all(Requests{{"a", 6}, {"a", 5}, {"b", 5}})),
      "yes ?, no ?, yes ?");
}

TEST_F(ConsumeAll, FailsForOneWhenItsReplyIsAnError) {
  expect_execute('[' + charge_of("a", 1) + ", " + charge_of("b", 2) + ", " + charge_of("c", 3) + ']',
                 {error("WRONGTYPE no"), integer(1), integer(2), integer(1), integer(3), error("OOM no")});
  expect_post('[' + undo_of("c", 3) + ']');
  const auto decisions = limiter().consume_all(Requests{{"a", 1}, {"b", 2}, {"c", 3}});
  EXPECT_EQ(summary(decisions), "no ?, yes 98, no ?");
  EXPECT_EQ(decisions[0].failure, Errc::kWrongType);
  EXPECT_EQ(decisions[2].failure, Errc::kOutOfMemory);
}

TEST_F(ConsumeAll, FailsForThoseWhoseRepliesAreMissing) {
  EXPECT_CALL(*client_, execute).WillOnce(Return(replies({integer(1), integer(1), integer(2)})));
  expect_post('[' + undo_of("b", 2) + ']');
  const auto decisions = limiter().consume_all(Requests{{"a", 1}, {"b", 2}, {"c", 3}});
  EXPECT_EQ(summary(decisions), "yes 99, no ?, no ?");
  EXPECT_EQ(decisions[1].failure, Errc::kProtocol);
  EXPECT_EQ(decisions[2].failure, Errc::kProtocol);
}

TEST_F(ConsumeAll, CorrectsEachChargeWhoseReplyComesLate) {
  CommandBatch batch;
  std::shared_ptr<ReplyHandler> late;
  EXPECT_CALL(*client_, execute)
      .WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<2>(&late), Return(testing::failure(Errc::kTimeout, true))));
  RedisRateLimiter limiter = this->limiter();
  EXPECT_EQ(summary(limiter.consume_all(Requests{{"a", 1}, {"b", 0}, {"c", 3}})), "no ?, no ?, no ?");
  EXPECT_CALL(*client_, stats);
  const Stats stats = limiter.stats();
  EXPECT_EQ(stats.in_doubt, 2U);
  EXPECT_EQ(stats.in_doubt_tokens, 4U);

  expect_post('[' + undo_of("a", 1) + ", " + undo_of("c", 3) + ']');
  late->handle(*client_, batch, replies({integer(1), integer(1), bulk("5"), integer(3), integer(1)}));
}

TEST_F(ConsumeAll, CountsTheUndosThatAreNotDelivered) {
  expect_execute('[' + charge_of("a", 10) + ", " + charge_of("b", 20) + ']',
                 {integer(110), integer(1), integer(120), integer(1)});
  EXPECT_CALL(*client_, post).WillOnce([this](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
    handler->handle(*client_, batch, replies({integer(100), error("ERR no")}));
  });
  RedisRateLimiter limiter = this->limiter();
  EXPECT_EQ(summary(limiter.consume_all(Requests{{"a", 10}, {"b", 20}})), "no 0, no 0");
  EXPECT_EQ(limiter.undelivered().batches, 1U);
  EXPECT_EQ(limiter.undelivered().tokens, 20U);
}

TEST_F(ConsumeAll, CountsEachDecision) {
  expect_execute('[' + charge_of("a", 10) + ']', {integer(10), integer(1)});
  RedisRateLimiter limiter = this->limiter();
  EXPECT_EQ(summary(limiter.consume_all(Requests{{"a", 10}, {"a", 101}, {""}})), "yes 90, no ?, no ?");
  EXPECT_CALL(*client_, stats);
  const Stats stats = limiter.stats();
  EXPECT_EQ(stats.allowed.by_redis, 1U);
  EXPECT_EQ(stats.denied.locally, 2U);
}

TEST_F(ConsumeAll, DeniesRequestsForWhichAnInjectedClientThrows) {
  EXPECT_CALL(*client_, execute).WillOnce(Throw(std::bad_alloc{})).WillOnce(Throw(std::runtime_error{"no"}));
  RedisRateLimiter limiter = this->limiter();
  for (const std::errc failure : {std::errc::not_enough_memory, std::errc::io_error}) {
    const auto decisions = limiter.consume_all(Requests{{"a"}, {"b", 101}});
    EXPECT_EQ(summary(decisions), "no ?, no ?");
    EXPECT_EQ(decisions[0].failure, failure);
    EXPECT_FALSE(decisions[1].failure);
  }
}

class ConsumeAllInMemory : public ::testing::TestWithParam<Admission> {
 protected:
  [[nodiscard]] RedisRateLimiter limiter(std::chrono::milliseconds deny_memory) const {
    return RedisRateLimiter{
        std::make_shared<MemoryClient>(clock_),
        {.max_tokens_per_minute = 100, .admission = GetParam(), .deny_memory = deny_memory, .clock = clock_}};
  }

  static Requests random_requests(std::minstd_rand& random) {
    static const std::array<std::string, 3> users{"a", "b", "c"};
    Requests requests(random() % 20);
    for (ConsumeRequest& request : requests) request = {users[random() % 3], static_cast<int>(random() % 40)};
    return requests;
  }

  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
};

TEST_P(ConsumeAllInMemory, DecidesAsSingleCallsWould) {
  std::minstd_rand random{7};
  int admitted = 0;
  for (int round = 0; round < 300; ++round) {
    RedisRateLimiter together = limiter(0ms);
    RedisRateLimiter singly = limiter(0ms);
    for (int call = 0; call < 4; ++call) {
      const Requests requests = random_requests(random);
      const auto decisions = together.consume_all(requests);
      ASSERT_EQ(decisions.size(), requests.size());
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const Decision single = singly.try_consume(requests[i].user_id, requests[i].tokens);
        ASSERT_EQ(decisions[i].allowed, single.allowed);
        ASSERT_EQ(decisions[i].remaining, single.remaining);
        admitted += single.allowed ? 1 : 0;
      }
    }
  }
  EXPECT_GT(admitted, 1000);
}

TEST_P(ConsumeAllInMemory, NeverOverAdmitsAndChargesNoDenial) {
  std::minstd_rand random{8};
  for (int round = 0; round < 300; ++round) {
    RedisRateLimiter limiter = this->limiter(1s);
    std::int64_t admitted = 0;
    for (int call = 0; call < 6; ++call) {
      const Requests requests = random_requests(random);
      const auto decisions = limiter.consume_all(requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (decisions[i].allowed && requests[i].user_id == "a") admitted += requests[i].tokens;
      }
      ASSERT_EQ(limiter.get_remaining("a"), 100 - admitted);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, ConsumeAllInMemory, ::testing::Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& test) { return test.param == Admission::kAtomic ? "Atomic" : "Pipelined"; });

}  // namespace
}  // namespace tollgate
