// With several connections, a client must fail the same calls, report the same events, and keep Redis's order of
// execution, as with one.

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <vector>

#include "faults/fault_test.hpp"
#include "transport/pipeline.hpp"
#include "values/scripts.hpp"
#include "values/url.hpp"

namespace {
// Each send() of this program lasts so much longer, as it does where the sender loses its CPU.
std::atomic<int> send_lasts_ms{0};
}  // namespace

extern "C" ssize_t send(int descriptor, const void* bytes, size_t size, int flags) {
  const ssize_t sent = ::syscall(SYS_sendto, descriptor, bytes, size, flags, nullptr, 0);
  if (const int wait = send_lasts_ms.load(); wait > 0) {
    const int error = errno;
    ::usleep(static_cast<useconds_t>(wait) * 1000);
    errno = error;
  }
  return sent;
}

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

CommandBatch charge_of(const std::string& key, std::int64_t tokens) {
  CommandBatch batch;
  batch.incr_by(key, tokens);
  batch.expire(key, 60s);
  return batch;
}

class ConnectionPoolOrder : public FaultTest {
 protected:
  /// Waits until several connections are established.
  void warm_up(RedisClient& client, const std::function<bool()>& warm) {
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        while (!stop) {
          CommandBatch batch;
          batch.ping();
          static_cast<void>(client.execute(batch, Clock::now() + 5s, nullptr));
        }
      });
    }
    EXPECT_TRUE(soon(warm));
    stop = true;
    for (std::thread& thread : threads) thread.join();
  }
};

// connection_pool.hpp: "no call waits for that".
TEST_F(ConnectionPoolOrder, NoChargeIsSentAfterItsDeadlineOnAnotherConnection) {
  std::atomic<bool> slow{false};
  ClientOptions options{.connect_timeout = 5s, .command_timeout = 5s};
  server_.command({"ACL", "SETUSER", "gateway", "on", ">word", "~*", "+@all"});
  options.credentials = [&]() -> Credentials {
    if (slow) std::this_thread::sleep_for(100ms);
    return {.username = "gateway", .password = "word"};
  };
  const auto client = connect(gate_.url(), options);
  RedisRateLimiter limiter{client, config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  gate_.pass_replies(false);
  std::thread other([&] { EXPECT_TRUE(client->execute(charge_of(key("other"), 1), Clock::now() + 5s, nullptr).ok()); });
  std::this_thread::sleep_for(50ms);
  slow = true;
  // Its deadline has passed when the callback has returned.
  const auto late = std::make_shared<CountingHandler>();
  const auto start = Clock::now();
  std::int64_t charged_in_time = 0;
  std::thread peeking([&] {
    std::this_thread::sleep_until(start + 70ms);
    charged_in_time = counter("v");
  });
  const BatchResult result = client->execute(charge_of(key("v"), 7), start + 50ms, late);
  EXPECT_EQ(result.failure.code, Errc::kTimeout);
  peeking.join();
  gate_.pass_replies(true);
  other.join();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_EQ(counter("v"), charged_in_time);
}

// redis_client.hpp: "It is executed after every batch whose execute() returned before the call."
TEST_F(ConnectionPoolOrder, APostIsExecutedAfterACallThatReturnedInDoubt) {
  const auto client = connect(server_.url(), kPatient);
  warm_up(*client, [&] { return info("clients", "connected_clients") >= 3; });
  server_.pause();
  std::thread first([&] { EXPECT_TRUE(client->execute(charge_of(key("a"), 1), Clock::now() + 10s, nullptr).ok()); });
  std::this_thread::sleep_for(50ms);
  const auto late = std::make_shared<CountingHandler>();
  const BatchResult result = client->execute(charge_of(key("b"), 10), Clock::now() + 50ms, late);
  EXPECT_EQ(result.failure.code, Errc::kTimeout);
  EXPECT_TRUE(result.failure.may_have_executed);
  const auto posted = std::make_shared<CountingHandler>();
  CommandBatch look;
  look.get(key("b"));
  client->post(look, posted);
  server_.resume();
  first.join();
  EXPECT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_EQ(late->calls(), 1);
  ASSERT_EQ(posted->calls(), 1);
  ASSERT_EQ(posted->last().replies.size(), 1U);
  EXPECT_EQ(posted->last().replies[0].to_integer(), 10);
}

// The gate forwards the primary's requests first.
TEST_F(ConnectionPoolOrder, ACallIsExecutedAfterAPostThatFollowsACallInDoubt) {
  const auto client = connect(gate_.url(), kPatient);
  int polls = 0;
  warm_up(*client, [&] { return gate_.connections() >= 2 && ++polls > 10; });  // the second one is logged in, too
  gate_.pass_requests(false);
  std::thread first([&] { EXPECT_TRUE(client->execute(charge_of(key("a"), 1), Clock::now() + 10s, nullptr).ok()); });
  std::this_thread::sleep_for(50ms);
  const BatchResult result = client->execute(charge_of(key("b"), 10), Clock::now() + 50ms, nullptr);
  EXPECT_TRUE(result.failure.may_have_executed);
  client->post(charge_of(key("b"), 5), nullptr);
  std::thread resume([&] {
    std::this_thread::sleep_for(100ms);
    gate_.pass_requests(true);
  });
  CommandBatch look;
  look.get(key("b"));
  const BatchResult seen = client->execute(look, Clock::now() + 10s, nullptr);
  resume.join();
  first.join();
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(seen.replies[0].to_integer(), 15);
}

// The same, through a limiter.
TEST_F(ConnectionPoolOrder, ARefundIsNotLostWhenItsChargeWasInDoubt) {
  const auto client = connect(server_.url(), kPatient);
  RedisRateLimiter limiter{client, config(FailurePolicy::kAllow)};
  limiter.reserve("w", 1).cancel();  // the script is known
  warm_up(*client, [&] { return info("clients", "connected_clients") >= 3; });
  ASSERT_TRUE(limiter.drain(Clock::now() + 5s));
  server_.pause();
  std::thread first([&] { EXPECT_TRUE(client->execute(charge_of(key("a"), 1), Clock::now() + 10s, nullptr).ok()); });
  std::this_thread::sleep_for(50ms);
  Reservation reservation = limiter.reserve("b", 1000, {.deadline = Clock::now() + 50ms});
  EXPECT_TRUE(reservation.allowed());
  reservation.cancel();
  server_.resume();
  first.join();
  EXPECT_TRUE(limiter.drain(Clock::now() + 5s));
  EXPECT_TRUE(soon([&] { return counter("b") == 0; })) << counter("b");
}

// docs/reliability.md: "Where its reply turns up late and its caller was not told yes, it is undone".
TEST_F(ConnectionPoolOrder, ALateChargeOnAnyConnectionIsUndoneAlsoWhenAllDeadlinesAreShort) {
  const auto client = connect(gate_.url(), kPatient);
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  warm_up(*client, [&] { return gate_.connections() >= 2; });
  gate_.pass_replies(false);
  std::thread other([&] { EXPECT_FALSE(limiter.consume("a", 10, {.deadline = Clock::now() + 60ms})); });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(limiter.consume("b", 10, {.deadline = Clock::now() + 20ms}));
  other.join();
  gate_.delay(10ms);
  gate_.pass_replies(true);
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.consume("c", 0, {.deadline = Clock::now() + 1ms}));
    return counter("a") == 0;
  }));
  EXPECT_TRUE(soon([&] {
    static_cast<void>(limiter.consume("c", 0, {.deadline = Clock::now() + 1ms}));
    return counter("b") == 0;
  })) << counter("b");
}

class UnusedClient final : public RedisClient {
 public:
  BatchResult execute(const CommandBatch&, Deadline, const std::shared_ptr<ReplyHandler>&) override { return {}; }
  void post(CommandBatch, std::shared_ptr<ReplyHandler>) override {}
};

TEST_F(ConnectionPoolOrder, AReplacedPrimaryTakesNoMorePostsAndCallsAndItsUnsentPostsMove) {
  UnusedClient client;
  const ScriptList no_scripts;
  const Url url = Url::parse(server_.url());
  Pipeline::Shared shared{client, url.endpoint(), url.login(nullptr), kPatient, no_scripts, nullptr};
  Pipeline before{shared, Handshake::kAsNeeded};
  Pipeline after{shared, Handshake::kAsNeeded};
  before.set_primary(true);
  const auto posted = std::make_shared<CountingHandler>();
  std::shared_ptr<ReplyHandler> handler = posted;
  CommandBatch charge = charge_of(key("u"), 5);
  ASSERT_TRUE(before.post_on_primary(charge, handler));  // there is no connection yet
  EXPECT_FALSE(before.hand_over_to(after, [] { return false; }));
  EXPECT_TRUE(before.has_posts_under_way());
  EXPECT_TRUE(before.hand_over_to(after, [] { return true; }));
  EXPECT_FALSE(before.has_posts_under_way());

  // Threads that looked before.
  charge = charge_of(key("u"), 7);
  handler = posted;
  EXPECT_FALSE(before.post_on_primary(charge, handler));
  EXPECT_EQ(charge.size(), 2U);
  EXPECT_EQ(handler, posted);
  bool is_replaced = false;
  static_cast<void>(before.execute(charge, Clock::now(), Clock::now() + 5s, nullptr, &is_replaced));
  EXPECT_TRUE(is_replaced);

  CommandBatch look;
  look.get(key("u"));
  const BatchResult seen = after.execute(look, Clock::now(), Clock::now() + 5s, nullptr, &(is_replaced = false));
  EXPECT_FALSE(is_replaced);
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(seen.replies[0].to_integer(), 5);
  EXPECT_TRUE(after.drain(Clock::now() + 5s));
  EXPECT_EQ(posted->calls(), 1);
}

// finish() sends, without the lock, before it has woken the callers: a caller whose deadline comes then takes
// its reply and leaves, and its exchange serves the next call.
TEST_F(ConnectionPoolOrder, AReusedExchangeIsNotMistakenForTheFinishedOne) {
  UnusedClient client;
  const ScriptList no_scripts;
  const Url url = Url::parse(server_.url());
  Pipeline::Shared shared{client, url.endpoint(), url.login(nullptr), kPatient, no_scripts, nullptr};
  Pipeline pipeline{shared, Handshake::kAsNeeded};
  const auto call = [&](const std::string& user, Clock::time_point until, const std::shared_ptr<ReplyHandler>& late) {
    return pipeline.execute(charge_of(key(user), 1), Clock::now(), until, late);
  };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(call("warm", Clock::now() + 5s, nullptr).ok());
  server_.pause();
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    CommandBatch script;  // not loaded in Redis yet, so that it must be sent again when the replies come
    script.run(kAdjustScript, key("driver"), {1, 60});
    EXPECT_TRUE(pipeline.execute(script, Clock::now(), start + 20s, nullptr).ok());
  });
  std::this_thread::sleep_until(start + 50ms);
  threads.emplace_back([&] { EXPECT_TRUE(call("waiter", start + 450ms, nullptr).ok()); });
  std::this_thread::sleep_until(start + 100ms);
  send_lasts_ms = 300;
  std::this_thread::sleep_until(start + 200ms);
  server_.resume();  // the driver reads two answers, and sends its script until 500 ms; the waiter leaves at 450 ms
  std::this_thread::sleep_until(start + 470ms);
  const auto late = std::make_shared<CountingHandler>();
  const BatchResult next = call("next", start + 600ms, late);  // sent from 500 to 800 ms, and given up meanwhile
  EXPECT_TRUE(next.failure.may_have_executed);
  std::this_thread::sleep_until(start + 850ms);
  send_lasts_ms = 0;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(pipeline.drain(Clock::now() + 1s));
  EXPECT_EQ(late->calls(), 1);
  EXPECT_EQ(late->last().replies.size(), 2U);
  EXPECT_TRUE(call("warm", Clock::now() + 1s, nullptr).ok());
}

}  // namespace
}  // namespace tollgate::tests
