// What happens to calls when connection or server fail under them: real signals, real cuts.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <csignal>
#include <filesystem>
#include <numeric>
#include <vector>

#include "faults/fault_test.hpp"
#include "transport/connection.hpp"
#include "transport/socket_stream.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class ConnectionFaults : public FaultTest {};

// ---- a server that is frozen -------------------------------------------------------------------------------------

TEST_F(ConnectionFaults, AFrozenServerHoldsACallUntilItsDeadlineAndTheLateChargeIsUndone) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  const auto start = Clock::now();
  const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_TRUE(error.retryable());
  server_.resume();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u", {.deadline = Clock::now() + 5s}) == kLimit - 1; }));
  EXPECT_EQ(counter("u"), 1);
}

TEST_F(ConnectionFaults, AFrozenServerHoldsACallOfManyUntilItsDeadlineAndEachLateChargeIsUndone) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  const std::vector<ConsumeRequest> requests{{"u", 10}, {"v", 20}, {"u", 0}, {"u", 30}};
  const auto start = Clock::now();
  for (const Decision& decision : limiter.consume_all(requests)) {
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.failure, Errc::kTimeout);
  }
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_EQ(limiter.stats().in_doubt, 3U);
  EXPECT_EQ(limiter.stats().in_doubt_tokens, 60U);
  server_.resume();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_TRUE(soon([&] { return counter("u") == 1 && counter("v") == 0; }));
}

TEST_F(ConnectionFaults, AFrozenServerIsNeitherReadyNorDrainedUntilItIsBack) {
  RedisRateLimiter limiter{connect(server_.url(), kQuick), config()};
  EXPECT_NO_THROW(limiter.ping());
  Reservation reservation = limiter.reserve("u", 10);
  server_.pause();
  reservation.cancel();
  const auto start = Clock::now();
  EXPECT_THROW(limiter.ping({.deadline = start + 50ms}), TimeoutError);
  EXPECT_FALSE(limiter.drain(start + 100ms));
  EXPECT_LT(Clock::now() - start, 5s);
  server_.resume();
  EXPECT_NO_THROW(limiter.ping({.deadline = Clock::now() + 5s}));
  EXPECT_TRUE(limiter.drain(Clock::now() + 5s));
  EXPECT_EQ(counter("u"), 0);
}

TEST_F(ConnectionFaults, ALateChargeStaysWhenItsCallerWasToldYes) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config(FailurePolicy::kAllow)};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  const Decision decision = limiter.consume("u", 10);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_EQ(decision.failure, Errc::kTimeout);
  server_.resume();
  EXPECT_EQ(limiter.get_remaining("u", {.deadline = Clock::now() + 5s}), kLimit - 11);
  ASSERT_TRUE(client->drain(Clock::now() + 5s));  // no undo is on its way
  EXPECT_EQ(counter("u"), 11);
}

TEST_F(ConnectionFaults, ALateAtomicChargeIsUndoneToo) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, atomic_config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  EXPECT_EQ(limiter.try_consume("u", 10).failure, Errc::kTimeout);
  server_.resume();
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u", {.deadline = Clock::now() + 5s}) == kLimit - 1; }));
}

TEST_F(ConnectionFaults, CallsOnAFrozenServerAreBoundedAndThenFailUnsent) {
  // Callers in a hurry: none has waited for the command timeout, so the circuit stays closed.
  const auto client = connect(server_.url(), kPatient);
  RedisRateLimiter limiter{client, config()};
  // The longest user id: 1 MiB is full after fewer than 1024 calls, each of which names it twice. (Not slower: after 10
  // s without taking a byte the connection is given up, and all that is on it.)
  const std::string user(512, 'u');
  ASSERT_TRUE(limiter.check_and_consume(user, 1, {.deadline = Clock::now() + 5s}));
  server_.pause();
  int in_doubt = 0;
  std::error_code failure;
  while (failure != Errc::kOverloaded && in_doubt <= 1024) {
    const auto error = thrown_by<Error>(
        [&] { static_cast<void>(limiter.check_and_consume(user, 1, {.deadline = Clock::now() + 1ms})); });
    failure = error.code();
    if (error.may_have_executed()) ++in_doubt;
    EXPECT_FALSE(failure == Errc::kOverloaded && error.may_have_executed());
  }
  EXPECT_EQ(failure, Errc::kOverloaded);
  EXPECT_GT(in_doubt, 512);
  server_.resume();
  EXPECT_TRUE(
      soon([&] { return limiter.try_consume(user, 0, {.deadline = Clock::now() + 5s}).remaining == kLimit - 1; }));
}

TEST_F(ConnectionFaults, ManyThreadsOnAServerThatFreezesAgainAndAgainAllReturnAndOnlyDoubtsMayStayCharged) {
  const auto client = connect(server_.url(), {.connect_timeout = 1s, .command_timeout = 20ms});
  std::atomic<std::int64_t> admitted{0};
  std::atomic<std::int64_t> failed{0};
  std::atomic<std::int64_t> in_doubt{0};
  std::atomic<bool> stop{false};
  RateLimitConfig large = config();
  large.max_tokens_per_minute = 1'000'000'000;
  {
    RedisRateLimiter limiter{client, large};
    std::vector<std::thread> threads;
    for (int i = 0; i < 32; ++i) {
      threads.emplace_back([&] {
        while (!stop) {
          try {
            if (limiter.check_and_consume("u", 1)) ++admitted;
          } catch (const Error& error) {
            ++failed;
            if (error.may_have_executed()) ++in_doubt;
          }
        }
      });
    }
    for (int i = 0; i < 8; ++i) {
      std::this_thread::sleep_for(60ms);
      server_.pause();
      std::this_thread::sleep_for(60ms);
      server_.resume();
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 0).source == Source::kRedis; }));
    EXPECT_TRUE(client->drain(Clock::now() + 5s));
  }
  EXPECT_GT(admitted, 0);
  EXPECT_GT(failed, 0);
  EXPECT_GE(counter("u"), admitted);
  EXPECT_LE(counter("u"), admitted + in_doubt);
}

// ---- a server that dies, a connection that ends -------------------------------------------------------------------

TEST_F(ConnectionFaults, AKilledServerLeavesTheCallUnderWayInDoubtAndTheNextOnesFailAtOnce) {
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

TEST_F(ConnectionFaults, FailedAttemptsAreNotRepeatedWithinTheirBackoff) {
  gate_.refuse(true);
  RedisRateLimiter limiter{connect(gate_.url() + "?command_timeout_ms=1000"), config()};
  const auto start = Clock::now();
  for (int i = 0; i < 2000; ++i) EXPECT_FALSE(limiter.try_consume("u", 1).allowed);
  EXPECT_LT(Clock::now() - start, 5s);
  EXPECT_LT(gate_.connections(), 100);
  gate_.refuse(false);
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
}

TEST_F(ConnectionFaults, AnIdleConnectionThatWasClosedIsNoticedBeforeItIsTrusted) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  for (int i = 1; i <= 5; ++i) {
    ASSERT_NO_THROW(EXPECT_TRUE(limiter.check_and_consume("u", 1)));
    server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 5);
}

TEST_F(ConnectionFaults, AnIdleConnectionThatWasClosedIsTrustedByNoneOfManyWhoComeAtOnce) {
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

TEST_F(ConnectionFaults, ARestartedServerIsToldItsScriptsAgain) {
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

TEST_F(ConnectionFaults, AReplyLostAfterTheChargeIsInDoubtAndTheChargeStaysForOneCall) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.cut_after_reply_bytes(0);
  const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); });
  EXPECT_TRUE(error.may_have_executed());
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 11);  // sent once, never repeated
}

TEST_F(ConnectionFaults, AReplyCutInHalfIsNoReply) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.cut_after_reply_bytes(3);
  EXPECT_TRUE(
      thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 10)); }).may_have_executed());
  EXPECT_EQ(limiter.consume("u", 1).remaining, kLimit - 12);
}

// F
TEST_F(ConnectionFaults, AConnectionCutBetweenIncrbyAndExpireLeavesNoImmortalKey) {
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

TEST_F(ConnectionFaults, ACallOfManyThatIsCutAtAnyByteLeavesNoImmortalKey) {
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

TEST_F(ConnectionFaults, ACallOfManyWhoseRepliesAreCutAtAnyByteAllowsNothingAndIsInDoubt) {
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

TEST_F(ConnectionFaults, ACallOfManyFailsWhileTheServerIsGoneAndIsAnsweredOnceItIsBack) {
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

TEST_F(ConnectionFaults, FragmentsOfOneByteAreTheSameStream) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  gate_.fragment(1);
  EXPECT_EQ(limiter.consume("u", 10).remaining, kLimit - 10);
  EXPECT_EQ(limiter.consume("u", kLimit).allowed, false);
  EXPECT_TRUE(soon([&] { return limiter.get_remaining("u") == kLimit - 10; }));
}

TEST_F(ConnectionFaults, ThreadsOnAConnectionThatIsCutAgainAndAgainNeverOverAdmit) {
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

// ---- connecting ---------------------------------------------------------------------------------------------------

TEST_F(ConnectionFaults, APingWhoseReplyIsCutAtAnyByteIsNoAnswer) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  const auto ready = [&] {
    try {
      limiter.ping();
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  for (std::size_t offset = 0; offset < std::string_view{"+PONG\r\n"}.size(); ++offset) {
    ASSERT_TRUE(soon(ready));
    gate_.cut_after_reply_bytes(offset);
    EXPECT_FALSE(ready()) << offset;
  }
  EXPECT_TRUE(soon(ready));
}

TEST_F(ConnectionFaults, AGreetingWhoseReplyIsCutAtAnyByteChargesNobody) {
  server_.command({"CONFIG", "SET", "requirepass", "secret"});
  for (std::size_t offset = 0; offset < std::string_view{"+OK\r\n"}.size(); ++offset) {
    ClientOptions options = kPatient;
    options.credentials = [] { return Credentials{.password = "secret"}; };
    RedisRateLimiter limiter{connect(gate_.url(), options), config()};
    gate_.cut_after_reply_bytes(offset);
    const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
    EXPECT_FALSE(error.may_have_executed()) << offset;
    EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 0).remaining == kLimit; })) << offset;
  }
  RedisRateLimiter last{connect("redis://:secret@127.0.0.1:" + std::to_string(server_.port()), kPatient), config()};
  EXPECT_EQ(last.get_remaining("u"), kLimit);
}

TEST_F(ConnectionFaults, AConnectAttemptOutlivesItsCallerAndIsResumedByTheNext) {
  // The gate connects, but the greeting's answer is withheld.
  gate_.pass_replies(false);
  RedisRateLimiter limiter{connect("redis://127.0.0.1:" + std::to_string(gate_.port()) + "/3?command_timeout_ms=50"),
                           config()};
  const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), TimeoutError);
  gate_.pass_replies(true);
  EXPECT_TRUE(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 5s}));
  EXPECT_EQ(gate_.connections(), 1);
}

TEST_F(ConnectionFaults, AListenerThatAcceptsNobodyHoldsEachCallToItsDeadlineAndTheAttemptToItsTimeout) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  std::array<int, 4> queue{};  // what it has room for, and more
  for (int& waiting : queue) {
    waiting = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    static_cast<void>(::connect(waiting, reinterpret_cast<sockaddr*>(&address), length) == 0);
  }

  RedisRateLimiter limiter{connect("redis://127.0.0.1:" + std::to_string(ntohs(address.sin_port)),
                                   {.connect_timeout = 300ms, .command_timeout = 50ms}),
                           config()};
  const auto start = Clock::now();
  const auto error = thrown_by<TimeoutError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_THAT(error.what(), ::testing::HasSubstr("while connecting"));
  std::error_code failure;
  EXPECT_TRUE(soon([&] { return (failure = limiter.try_consume("u", 1).failure) == Errc::kConnectFailed; }));
  EXPECT_GE(Clock::now() - start, 300ms);
  for (const int waiting : queue) ::close(waiting);
  ::close(listener);
}

TEST_F(ConnectionFaults, ANameIsLookedUp) {
  RedisRateLimiter limiter{connect("redis://localhost:" + std::to_string(server_.port()), kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 3));
  EXPECT_EQ(counter("u"), 3);
}

TEST_F(ConnectionFaults, AnIpv6AddressIsConnectedToWhereTheMachineHasIpv6AndElseATypedError) {
  const int probe = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool has_ipv6 = probe >= 0 && ::bind(probe, reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) == 0;
  if (probe >= 0) ::close(probe);
  const std::string path = ":" + std::to_string(server_.port());
  RedisRateLimiter limiter{connect("redis://[::1]" + path, kPatient), config()};
  EXPECT_EQ(limiter.try_consume("u", 1).failure, Errc::kConnectFailed);  // the server listens on IPv4 alone
  if (!has_ipv6) return;
  server_.command({"CONFIG", "SET", "bind", "127.0.0.1 ::1"});
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 3).allowed; }));
  EXPECT_EQ(counter("u"), 3);
}

TEST_F(ConnectionFaults, ANameThatDoesNotResolveIsATypedErrorByTheDeadline) {
  RedisRateLimiter limiter{connect("redis://no-such-host.invalid:6379", kQuick), config()};
  const auto start = Clock::now();
  const auto error = thrown_by<Error>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_LT(Clock::now() - start, 2s);
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_TRUE(error.retryable());
}

TEST_F(ConnectionFaults, AServerThatTalksGibberishIsLeft) {
  // A listener that answers anything with something that is no RESP.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  std::thread gibberish([listener] {
    const int peer = ::accept(listener, nullptr, nullptr);
    char byte = 0;
    static_cast<void>(::read(peer, &byte, 1) == 1);
    static_cast<void>(::write(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) == 28);
    ::close(peer);
  });
  RedisRateLimiter limiter{connect("redis://127.0.0.1:" + std::to_string(ntohs(address.sin_port)),
                                   {.connect_timeout = 1s, .command_timeout = 1s}),
                           config()};
  const auto error = thrown_by<ConnectionError>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_EQ(error.code(), Errc::kProtocol);
  gibberish.join();
  ::close(listener);
}

TEST_F(ConnectionFaults, ADeadlineInThePastSendsNothing) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  const auto error = thrown_by<TimeoutError>(
      [&] { static_cast<void>(limiter.check_and_consume("u", 1, {.deadline = Clock::now() - 1s})); });
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_EQ(gate_.connections(), 0);
}

TEST_F(ConnectionFaults, ADeadlineMayBeShorterThanTheCommandTimeout) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.pass_replies(false);
  const auto start = Clock::now();
  const CallOptions options{.deadline = start + 50ms};
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1, options)), TimeoutError);
  EXPECT_GE(Clock::now() - start, 50ms);
  EXPECT_LT(Clock::now() - start, 2s);
  gate_.pass_replies(true);
}

TEST_F(ConnectionFaults, AClockThatIsSetBackChargesTheWindowThatItShows) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 10));
  clock_->advance(-90min);
  EXPECT_EQ(limiter.consume("u", 3).remaining, kLimit - 3);
  EXPECT_EQ(counter("u"), 3);
  clock_->set(testing::ManualClock::kStart);
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 10);
}

TEST_F(ConnectionFaults, ADeadlineMayBeLongerThanTheCommandTimeout) {
  RedisRateLimiter limiter{connect(gate_.url(), {.connect_timeout = 1s, .command_timeout = 50ms}), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 5s}));
  gate_.delay(100ms);
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), TimeoutError);
  EXPECT_TRUE(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 5s}));
}

TEST_F(ConnectionFaults, AUnixSocketIsAConnectionLikeAnyOther) {
  RedisRateLimiter limiter{connect(server_.unix_url(), kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 3));
  EXPECT_EQ(counter("u"), 3);
  RedisRateLimiter nowhere{connect("unix:///no/such/redis.sock", kQuick), config()};
  EXPECT_EQ(thrown_by<ConnectionError>([&] { static_cast<void>(nowhere.peek("u")); }).code(), Errc::kConnectFailed);
}

// ---- processes ----------------------------------------------------------------------------------------------------

int exit_status_of(const std::function<int()>& child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      ::_exit(child());
    } catch (...) {
      ::_exit(99);
    }
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST_F(ConnectionFaults, AForkedChildMakesAConnectionOfItsOwn) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  const auto connections = info("stats", "total_connections_received");
  const int status = exit_status_of([&] {
    for (int i = 0; i < 100; ++i) {
      if (!limiter.check_and_consume("u", 1)) return 1;
    }
    return 0;
  });
  EXPECT_EQ(status, 0);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 201);
  EXPECT_EQ(info("stats", "total_connections_received") - connections, 2);  // the child's, and the one that asks
}

TEST_F(ConnectionFaults, AForkAmidBusyThreadsLeavesTheChildAWorkingLimiter) {
  RateLimitConfig remembering = config();
  remembering.deny_memory = 1s;
  remembering.max_tokens_per_minute = 1'000'000'000;
  RedisRateLimiter limiter{connect(server_.url(), kPatient), remembering};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) static_cast<void>(limiter.try_consume("u", 1));
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(exit_status_of([&] { return limiter.check_and_consume("child", 1) ? 0 : 1; }), 0);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter("child"), 20);
}

TEST_F(ConnectionFaults, AProgramWithTheDefaultSigpipeSurvivesAPeerThatCloses) {
  const int status = exit_status_of([] {
    std::signal(SIGPIPE, SIG_DFL);
    OpenSocket listener{AF_UNIX, SOCK_STREAM};
    sockaddr address{.sa_family = AF_UNIX, .sa_data = {}};
    socklen_t length = sizeof(sa_family_t);  // the kernel gives it an abstract name
    sockaddr_storage name{};
    if (::bind(listener.descriptor(), &address, length) != 0 || ::listen(listener.descriptor(), 1) != 0) return 1;
    length = sizeof name;
    ::getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&name), &length);
    auto socket = std::make_unique<OpenSocket>(AF_UNIX, SOCK_STREAM);
    if (::connect(socket->descriptor(), reinterpret_cast<sockaddr*>(&name), length) != 0) return 1;
    ::close(::accept(listener.descriptor(), nullptr, nullptr));
    Connection connection{std::make_unique<SocketStream>(std::move(socket))};
    connection.outgoing = "GET k\r\n";
    if (connection.send() != 0 || !connection.closing) return 2;
    return 0;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ConnectionFaults, AnExecutedProgramInheritsNoSocket) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename());
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (!target.starts_with("socket:")) continue;
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
    if (peer.ss_family != AF_INET || ntohs(reinterpret_cast<sockaddr_in&>(peer).sin_port) != server_.port()) continue;
    ++sockets;
    EXPECT_NE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(sockets, 1);
}

// ---- what was posted ----------------------------------------------------------------------------------------------

TEST_F(ConnectionFaults, TheDestructorDeliversWhatWasPosted) {
  {
    RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
    auto reservation = limiter.reserve("u", 100);
    gate_.delay(20ms);
    reservation.settle(40);
  }
  EXPECT_EQ(counter("u"), 40);
}

TEST_F(ConnectionFaults, TheDestructorDoesNotWaitForAFrozenServerPastTheCommandTimeout) {
  auto limiter = std::make_unique<RedisRateLimiter>(connect(server_.url(), kQuick), config());
  auto reservation = std::make_unique<Reservation>(limiter->reserve("u", 100, {.deadline = Clock::now() + 5s}));
  server_.pause();
  reservation->settle(40);
  const auto start = Clock::now();
  reservation.reset();
  limiter.reset();
  EXPECT_LT(Clock::now() - start, 2s);
  server_.resume();
}

TEST_F(ConnectionFaults, ASettlementThatIsLostIsCounted) {
  RedisRateLimiter limiter{connect(gate_.url(), kQuick), config()};
  auto reservation = limiter.reserve("u", 100, {.deadline = Clock::now() + 5s});
  gate_.cut_after_reply_bytes(0);
  EXPECT_NO_THROW(reservation.settle(40));
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.try_consume("other", 1));
    return limiter.undelivered().batches == 1;
  }));
  EXPECT_EQ(limiter.undelivered().tokens, 60U);
}

TEST_F(ConnectionFaults, ASettlementDuringAnOutageIsDeliveredOnceRedisIsBack) {
  const auto client = connect(gate_.url(), kQuick);
  RedisRateLimiter limiter{client, config()};
  auto reservation = limiter.reserve("u", 100, {.deadline = Clock::now() + 5s});
  gate_.refuse(true);
  gate_.cut();
  ASSERT_TRUE(soon([&] { return static_cast<bool>(limiter.try_consume("other", 0).failure); }));
  reservation.settle(40);
  gate_.refuse(false);
  EXPECT_TRUE(soon([&] { return client->drain(Clock::now() + 1s); }));
  EXPECT_EQ(counter("u"), 40);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(ConnectionFaults, AnOperationWhoseReplyWasLostIsRepeatedWithTheFirstAnswerAndOneCharge) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), atomic_config()};
  limiter.record("warm", 1);  // the server knows both scripts
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.cut_after_reply_bytes(0);
  const CallOptions reserve{.operation_id = "reserve-1"};
  EXPECT_TRUE(
      thrown_by<ConnectionError>([&] { static_cast<void>(limiter.reserve("u", 9'000, reserve)); }).may_have_executed());
  EXPECT_EQ(counter("u"), 9'001);
  Reservation reservation = limiter.reserve("u", 9'000, reserve);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(counter("u"), 9'001);
  clock_->advance(1min);  // also in the next minute
  EXPECT_TRUE(limiter.reserve("u", 9'000, reserve).allowed());
  clock_->set(testing::ManualClock::kStart);
  EXPECT_EQ(counter("u"), 9'001);

  const CallOptions settle{.operation_id = "settle-1"};
  Reservation again = limiter.reserve("u", 9'000, reserve);
  gate_.cut_after_reply_bytes(0);
  reservation.settle(1'000, settle);
  EXPECT_TRUE(soon([&] { return gate_.cuts() == 2; }));
  EXPECT_EQ(counter("u"), 1'001);
  again.settle(1'000, settle);
  EXPECT_EQ(limiter.get_remaining("u", {.deadline = Clock::now() + 5s}), kLimit - 1'001);
}

}  // namespace
}  // namespace tollgate::tests
