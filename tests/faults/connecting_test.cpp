// How a connection comes about: handshakes that are cut, attempts that outlive their caller, names, addresses,
// deadlines.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class Connecting : public FaultTest {};

TEST_F(Connecting, APingWhoseReplyIsCutAtAnyByteIsNoAnswer) {
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

TEST_F(Connecting, AHandshakeWhoseReplyIsCutAtAnyByteChargesNothing) {
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

TEST_F(Connecting, AConnectAttemptOutlivesItsCallerAndIsResumedByTheNext) {
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

TEST_F(Connecting, AListenerThatAcceptsNothingDelaysCallsToTheirDeadlineAndTheAttemptToItsTimeout) {
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

TEST_F(Connecting, ANameIsLookedUp) {
  RedisRateLimiter limiter{connect("redis://localhost:" + std::to_string(server_.port()), kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 3));
  EXPECT_EQ(counter("u"), 3);
}

TEST_F(Connecting, AnIpv6AddressIsConnectedToWhereTheMachineHasIpv6AndElseATypedError) {
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

TEST_F(Connecting, ANameThatDoesNotResolveIsATypedErrorByTheDeadline) {
  RedisRateLimiter limiter{connect("redis://no-such-host.invalid:6379", kQuick), config()};
  const auto start = Clock::now();
  const auto error = thrown_by<Error>([&] { static_cast<void>(limiter.check_and_consume("u", 1)); });
  EXPECT_LT(Clock::now() - start, 2s);
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_TRUE(error.retryable());
}

TEST_F(Connecting, AServerThatDoesNotSpeakRespIsDisconnected) {
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

TEST_F(Connecting, ADeadlineInThePastSendsNothing) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  const auto error = thrown_by<TimeoutError>(
      [&] { static_cast<void>(limiter.check_and_consume("u", 1, {.deadline = Clock::now() - 1s})); });
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_EQ(gate_.connections(), 0);
}

TEST_F(Connecting, ADeadlineMayBeShorterThanTheCommandTimeout) {
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

TEST_F(Connecting, AClockThatIsSetBackChargesTheWindowThatItShows) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 10));
  clock_->advance(-90min);
  EXPECT_EQ(limiter.consume("u", 3).remaining, kLimit - 3);
  EXPECT_EQ(counter("u"), 3);
  clock_->set(testing::ManualClock::kStart);
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 10);
}

TEST_F(Connecting, ADeadlineMayBeLongerThanTheCommandTimeout) {
  RedisRateLimiter limiter{connect(gate_.url(), {.connect_timeout = 1s, .command_timeout = 50ms}), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 5s}));
  gate_.delay(100ms);
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), TimeoutError);
  EXPECT_TRUE(limiter.check_and_consume("u", 1, {.deadline = Clock::now() + 5s}));
}

TEST_F(Connecting, AUnixSocketIsAConnectionLikeAnyOther) {
  RedisRateLimiter limiter{connect(server_.unix_url(), kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 3));
  EXPECT_EQ(counter("u"), 3);
  RedisRateLimiter nowhere{connect("unix:///no/such/redis.sock", kQuick), config()};
  EXPECT_EQ(thrown_by<ConnectionError>([&] { static_cast<void>(nowhere.peek("u")); }).code(), Errc::kConnectFailed);
}

}  // namespace
}  // namespace tollgate::tests
