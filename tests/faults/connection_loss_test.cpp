// A server that dies and connections that are cut at any byte: what may have been executed is in doubt, and no key is
// left without expiry.

#include <fcntl.h>

#include <atomic>
#include <barrier>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class ConnectionLoss : public FaultTest {};

TEST_F(ConnectionLoss, AKilledServerLeavesTheCallInFlightInDoubtAndLaterCallsFailAtOnce) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  std::thread killer([&] {
    std::this_thread::sleep_for(50ms);
    server_.kill();
  });
  const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  killer.join();
  EXPECT_EQ(error.code(), Errc::kConnectionLost);
  EXPECT_TRUE(error.may_have_executed());

  const auto start = Clock::now();
  const auto next = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_LT(Clock::now() - start, 2s);
  EXPECT_EQ(next.code(), Errc::kConnectFailed);
  EXPECT_FALSE(next.may_have_executed());
  EXPECT_TRUE(next.retryable());

  server_.restart();
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
}

TEST_F(ConnectionLoss, FailedAttemptsAreNotRepeatedWithinTheirBackoff) {
  gate_.refuse(true);
  RedisRateLimiter limiter{connect(gate_.url() + "?command_timeout_ms=1000"), config()};
  const auto start = Clock::now();
  for (int i = 0; i < 2000; ++i) EXPECT_FALSE(limiter.try_consume("u", 1).allowed);
  EXPECT_LT(Clock::now() - start, 5s);
  EXPECT_LT(gate_.connections(), 100);
  gate_.refuse(false);
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
}

TEST_F(ConnectionLoss, AnIdleConnectionThatWasClosedIsDetectedBeforeACallIsSent) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  for (int i = 1; i <= 5; ++i) {
    ASSERT_NO_THROW(EXPECT_TRUE(limiter.check_and_consume("u", 1)));
    server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 5);
}

TEST_F(ConnectionLoss, AnIdleConnectionThatWasClosedFailsNoneOfManySimultaneousCalls) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 100;
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  std::atomic<int> admitted{0};
  std::barrier round{kThreads, [&]() noexcept {
                       server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
                       std::this_thread::sleep_for(2ms);
                     }};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int done = 0; done < kRounds; ++done) {
        round.arrive_and_wait();
        if (limiter.try_consume("u", 1).allowed) ++admitted;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, kThreads * kRounds);
  EXPECT_EQ(counter("u"), kThreads * kRounds);
}

TEST_F(ConnectionLoss, ScriptsAreLoadedAgainAfterARestart) {
  const auto client = connect(server_.url(), kPatient);
  RedisRateLimiter limiter{client, atomic_config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.command({"SCRIPT", "FLUSH"});
  server_.command({"CONFIG", "RESETSTAT"});
  EXPECT_EQ(limiter.consume("u", 1).remaining, kLimit - 2);
  EXPECT_EQ(limiter.consume("u", 1).remaining, kLimit - 3);
  const std::string calls = server_.command({"INFO", "commandstats"}).text();
  EXPECT_THAT(calls, ::testing::HasSubstr("cmdstat_evalsha:calls=2,"));
  EXPECT_THAT(calls, ::testing::HasSubstr("cmdstat_eval:calls=1,"));
  server_.restart();
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 1);
}

TEST_F(ConnectionLoss, AReplyLostAfterTheChargeIsInDoubtAndTheChargeStaysForOneCall) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.cut_after_reply_bytes(0);
  const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 11);  // sent once, never repeated
}

TEST_F(ConnectionLoss, AReplyCutInHalfIsNoReply) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.cut_after_reply_bytes(3);
  EXPECT_TRUE(
      thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); }).may_have_executed());
  EXPECT_EQ(limiter.consume("u", 1).remaining, kLimit - 12);
}

// F
TEST_F(ConnectionLoss, AConnectionCutBetweenIncrbyAndExpireLeavesNoKeyWithoutExpiry) {
  const auto client = connect(gate_.url(), kPatient);
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("warm", 1));
  const std::string incr =
      "*3\r\n$6\r\nINCRBY\r\n$" + std::to_string(key("u").size()) + "\r\n" + key("u") + "\r\n$2\r\n10\r\n";
  gate_.cut_after_request_bytes(incr.size());
  const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_TRUE(soon([&] { return counter("u") == 10; }));
  ASSERT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_GT(server_.command({"TTL", key("u")}).to_integer(), 0);
}

TEST_F(ConnectionLoss, ACallOfManyThatIsCutAtAnyByteLeavesNoKeyWithoutExpiry) {
  const std::vector<ConsumeRequest> requests{{"a", 1}, {"b", 2}, {"c", 3}};
  for (std::size_t bytes = 1; bytes < 380; bytes += 7) {
    const auto client = connect(gate_.url(), kPatient);
    RedisRateLimiter limiter{client, config()};
    ASSERT_TRUE(limiter.check_and_consume("warm", 0));
    gate_.cut_after_request_bytes(bytes);
    for (const Decision& decision : limiter.consume_all(requests)) EXPECT_FALSE(decision.allowed);
    ASSERT_TRUE(client->drain(Clock::now() + 5s));
    ASSERT_THAT(server_.keys_without_ttl(), ::testing::IsEmpty()) << bytes;
  }
}

TEST_F(ConnectionLoss, ACallOfManyWhoseRepliesAreCutAtAnyByteAllowsNothingAndIsInDoubt) {
  const std::vector<ConsumeRequest> requests{{"a", 10}, {"b", 20}, {"c", 0}};
  constexpr std::size_t kReplies = std::string_view{":10\r\n:1\r\n:20\r\n:1\r\n$-1\r\n"}.size();
  for (std::size_t bytes = 0; bytes < kReplies; ++bytes) {
    RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
    ASSERT_TRUE(limiter.check_and_consume("warm", 0));
    gate_.cut_after_reply_bytes(bytes);
    for (const Decision& decision : limiter.consume_all(requests)) {
      EXPECT_FALSE(decision.allowed) << bytes;
      EXPECT_EQ(decision.failure, Errc::kConnectionLost);
    }
    EXPECT_EQ(limiter.stats().in_doubt_tokens, 30U);
    ASSERT_TRUE(limiter.drain(Clock::now() + 5s));
    ASSERT_EQ(counter("a"), 10);  // sent once, never repeated
    ASSERT_THAT(server_.keys_without_ttl(), ::testing::IsEmpty()) << bytes;
    server_.command({"FLUSHALL"});
  }
}

TEST_F(ConnectionLoss, ACallOfManyFailsWhileTheServerIsDownAndIsAnsweredOnceItIsUp) {
  RedisRateLimiter limiter{connect(server_.url(), kQuick), config()};
  const std::vector<ConsumeRequest> requests{{"a", 10}, {"b", kLimit + 1}, {"b", 20}};
  ASSERT_TRUE(limiter.consume_all(requests)[0].allowed);
  server_.kill();
  const auto gone = limiter.consume_all(requests);
  EXPECT_TRUE(gone[0].failure && gone[2].failure);
  EXPECT_FALSE(gone[0].allowed || gone[1].allowed || gone[2].allowed);
  EXPECT_FALSE(gone[1].failure);  // can never fit: nobody was asked
  server_.restart();
  EXPECT_TRUE(soon([&] { return limiter.consume_all(requests)[2].allowed; }));
}

TEST_F(ConnectionLoss, FragmentsOfOneByteAreTheSameStream) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  gate_.fragment(1);
  EXPECT_EQ(limiter.consume("u", 10).remaining, kLimit - 10);
  EXPECT_EQ(limiter.consume("u", kLimit).allowed, false);
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u") == kLimit - 10; }));
}

TEST_F(ConnectionLoss, ThreadsOnAConnectionThatIsCutAgainAndAgainNeverOverAdmit) {
  RateLimitConfig small = config();
  small.max_tokens_per_minute = 2'000;
  const auto client = connect(gate_.url(), {.connect_timeout = 1s, .command_timeout = 1s});
  RedisRateLimiter limiter{client, small};
  std::atomic<std::int64_t> admitted{0};
  std::atomic<std::int64_t> in_doubt{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      const std::int64_t tokens = 1 + i % 3;
      while (!stop) {
        try {
          if (limiter.check_and_consume("u", tokens)) admitted += tokens;
        } catch (const Error& error) {
          if (error.may_have_executed()) in_doubt += tokens;
        }
      }
    });
  }
  for (int i = 0; i < 15; ++i) {
    std::this_thread::sleep_for(20ms);
    gate_.cut();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(admitted, 0);
  EXPECT_LE(admitted, 2'000);
  EXPECT_TRUE(soon([&] { return client->drain(Clock::now() + 1s); }));
  // Undos that were lost, too, are told.
  const auto undelivered = static_cast<std::int64_t>(limiter.undelivered().tokens);
  EXPECT_GE(counter("u"), admitted);
  EXPECT_LE(counter("u"), admitted + in_doubt + undelivered);
}

}  // namespace
}  // namespace tollgate::tests
