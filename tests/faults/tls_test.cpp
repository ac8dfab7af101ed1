// Faults of a connection with TLS: cuts at each byte of the handshake and of records, a server that stops answering in
// the handshake, fragments, and ends from both sides at once. SIGPIPE has its default action, which would end the test.

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

struct Certificates {
  testing::TlsCertificates certificates;
};

class TlsFaults : private Certificates, public FaultTest {
 protected:
  TlsFaults() : FaultTest(certificates) {}

  [[nodiscard]] std::string gate_url() const {
    return "rediss://127.0.0.1:" + std::to_string(gate_.port()) + "/0?ca_file=" + certificates.ca_file();
  }
};

TEST_F(TlsFaults, AHandshakeCutAtAnyByteChargesNothing) {
  {
    RedisRateLimiter whole{connect(gate_url(), kPatient), config()};
    whole.ping();
  }
  // The handshake and the answers to two PINGs; the server's signature differs in length by a few bytes.
  const std::size_t handshake = gate_.reply_bytes() - 100;
  ASSERT_GT(handshake, 500U);
  for (std::size_t offset = 0; offset < handshake; ++offset) {
    RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
    gate_.cut_after_reply_bytes(offset);
    const Decision decision = limiter.try_consume("u", 1);
    ASSERT_EQ(decision.failure, Errc::kConnectFailed) << offset;
    ASSERT_EQ(limiter.stats().in_doubt, 0U) << offset;
  }
  EXPECT_EQ(counter("u"), 0);
}

TEST_F(TlsFaults, AHandshakeWhoseFirstFlightIsCutAtAnyByteChargesNothing) {
  for (std::size_t offset = 0; offset < 250; ++offset) {
    RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
    gate_.cut_after_request_bytes(offset);
    ASSERT_EQ(limiter.try_consume("u", 1).failure, Errc::kConnectFailed) << offset;
    ASSERT_EQ(limiter.stats().in_doubt, 0U) << offset;
  }
  EXPECT_EQ(counter("u"), 0);
}

TEST_F(TlsFaults, ARequestWhoseRecordIsCutAtAnyByteIsNotExecuted) {
  RedisRateLimiter measured{connect(gate_url(), kPatient), config()};
  ASSERT_TRUE(measured.check_and_consume("m", 1));
  const std::size_t before = gate_.request_bytes();
  ASSERT_TRUE(measured.check_and_consume("u", 0) && measured.check_and_consume("m", 1));
  const std::size_t record = (gate_.request_bytes() - before) / 2;  // a GET and a charge: less than the charge alone
  for (std::size_t offset = 0; offset < record; ++offset) {
    RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
    ASSERT_TRUE(limiter.check_and_consume("warm", 1));
    ASSERT_TRUE(limiter.drain(Clock::now() + 5s));  // the scripts are loaded
    gate_.cut_after_request_bytes(offset);
    const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
    ASSERT_EQ(error.code(), Errc::kConnectionLost) << offset;
    ASSERT_EQ(counter("u"), 0) << offset;
  }
}

TEST_F(TlsFaults, AReplyWhoseRecordIsCutAtAnyByteIsInDoubtAndNotRepeated) {
  constexpr std::size_t kRecord = std::string_view{":10\r\n:1\r\n"}.size() + 5 + 17;  // header; content type and tag
  std::int64_t charged = 0;
  for (std::size_t offset = 0; offset < kRecord; ++offset) {
    RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
    ASSERT_TRUE(limiter.check_and_consume("warm", 1));
    ASSERT_TRUE(limiter.drain(Clock::now() + 5s));
    gate_.cut_after_reply_bytes(offset);
    const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
    ASSERT_EQ(error.code(), Errc::kConnectionLost) << offset;
    ASSERT_TRUE(error.may_have_executed()) << offset;
    charged += 10;
    ASSERT_EQ(counter("u"), charged) << offset;
  }
}

TEST_F(TlsFaults, AFrozenServerInTheHandshakeDelaysACallToItsDeadlineAndTheNextCallResumes) {
  gate_.pass_replies(false);
  ClientOptions options = kPatient;
  options.command_timeout = 50ms;
  RedisRateLimiter limiter{connect(gate_url(), options), config()};
  for (int call = 0; call < 3; ++call) {
    const auto start = Clock::now();
    const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
    EXPECT_LT(Clock::now() - start, 2s);
    EXPECT_FALSE(error.may_have_executed());
  }
  gate_.pass_replies(true);
  EXPECT_TRUE(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 5s}));
  EXPECT_EQ(gate_.connections(), 1);
}

TEST_F(TlsFaults, AHandshakeThatIsNeverAnsweredFailsAfterTheConnectTimeout) {
  gate_.pass_replies(false);
  RedisRateLimiter limiter{connect(gate_url(), {.connect_timeout = 100ms, .command_timeout = 5s}), config()};
  const auto start = Clock::now();
  EXPECT_EQ(limiter.try_consume("u", 1).failure, Errc::kConnectFailed);
  EXPECT_GE(Clock::now() - start, 100ms);
  EXPECT_LT(Clock::now() - start, 4s);
}

TEST_F(TlsFaults, AFrozenServerDelaysACallToItsDeadlineAndTheLateChargeIsUndone) {
  RedisRateLimiter limiter{connect(gate_url(), kQuick), config()};
  ASSERT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
  server_.pause();
  const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
  EXPECT_TRUE(error.may_have_executed());
  server_.resume();
  EXPECT_TRUE(soon([&] { return counter("u") == 1; }));
}

TEST_F(TlsFaults, FragmentsAreTheSameStream) {
  RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
  gate_.fragment(3, 10us);
  EXPECT_EQ(limiter.consume("u", 10).remaining, kLimit - 10);
  EXPECT_EQ(limiter.consume("u", kLimit).allowed, false);
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u") == kLimit - 10; }));
}

TEST_F(TlsFaults, ManyRecordsInOneCallAreAnswered) {
  RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
  const std::vector<ConsumeRequest> requests(2'000, {"u", 1});  // 80 KiB of requests: several records each way
  for (const Decision& decision : limiter.consume_all(requests)) ASSERT_TRUE(decision.allowed);
  EXPECT_EQ(counter("u"), 2'000);
}

TEST_F(TlsFaults, ThreadsOnAConnectionThatIsCutAgainAndAgainNeverOverAdmit) {
  RateLimitConfig small = config();
  small.max_tokens_per_minute = 2'000;
  const auto client = connect(gate_url(), {.connect_timeout = 1s, .command_timeout = 1s});
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
  EXPECT_TRUE(soon([&] { return admitted > 0; }));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(admitted, 2'000);
  EXPECT_TRUE(soon([&] { return client->drain(Clock::now() + 1s); }));
  const auto undelivered = static_cast<std::int64_t>(limiter.undelivered().tokens);
  EXPECT_GE(counter("u"), admitted);
  EXPECT_LE(counter("u"), admitted + in_doubt + undelivered);
}

TEST_F(TlsFaults, BothSidesMayEndTheConnectionAtOnce) {
  for (int i = 0; i < 20; ++i) {
    auto limiter = std::make_unique<RedisRateLimiter>(connect(gate_url(), kPatient), config());
    ASSERT_TRUE(limiter->check_and_consume("u", 1));
    std::vector<std::thread> threads;
    for (int caller = 0; caller < 4; ++caller) {
      threads.emplace_back([&limiter] {
        for (int call = 0; call < 20; ++call) static_cast<void>(limiter->try_consume("u", 1));
      });
    }
    server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    for (std::thread& thread : threads) thread.join();
    std::thread killer{[this] { server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}); }};
    limiter.reset();
    killer.join();
  }
  RedisRateLimiter limiter{connect(gate_url(), kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 1));
}

}  // namespace
}  // namespace tollgate::tests
