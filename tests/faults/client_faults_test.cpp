// The client's guarantees to direct callers: every handler called once, no byte lost, no descriptor of others
// touched.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <deque>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

class ClientFaults : public FaultTest {
 protected:
  static CommandBatch get(std::string_view key) {
    CommandBatch batch;
    batch.get(key);
    return batch;
  }
  /// About 800 kB: more than a Unix socket holds.
  static CommandBatch large_batch() {
    CommandBatch batch;
    for (int i = 0; i < 2000; ++i) batch.get(std::string(350, 'x') + std::to_string(i));
    return batch;
  }
  static std::chrono::microseconds cpu_time_of_this_thread() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    const auto of = [](timeval time) {
      return std::chrono::seconds{time.tv_sec} + std::chrono::microseconds{time.tv_usec};
    };
    return of(usage.ru_utime) + of(usage.ru_stime);
  }
};

// ---- a socket with a full send buffer -----------------------------------------------------------------------------

TEST_F(ClientFaults, ABatchLargerThanTheSocketHoldsIsSentToItsEnd) {
  const auto client = connect(server_.unix_url(), kPatient);
  const BatchResult result = client->execute(large_batch(), {}, nullptr);
  ASSERT_TRUE(result.ok()) << result.failure.code.message();
  EXPECT_EQ(result.replies.size(), 2000U);
  EXPECT_TRUE(client->execute(get("k"), {}, nullptr).ok());
}

TEST_F(ClientFaults, ACallThatCannotBeSentWholeSleepsUntilItsDeadlineAndIsSentToItsEndAfterwards) {
  const auto client = connect(server_.unix_url(), kPatient);
  ASSERT_TRUE(client->execute(get("k"), {}, nullptr).ok());
  server_.pause();
  const auto late = std::make_shared<CountingHandler>();
  const auto cpu_before = cpu_time_of_this_thread();
  const BatchResult result = client->execute(large_batch(), Clock::now() + 1s, late);
  EXPECT_LT(cpu_time_of_this_thread() - cpu_before, 500ms);
  EXPECT_EQ(result.failure.code, Errc::kTimeout);
  EXPECT_TRUE(result.failure.may_have_executed);
  EXPECT_EQ(late->calls(), 0);
  server_.resume();
  EXPECT_TRUE(client->execute(get("k"), Clock::now() + 5s, nullptr).ok());
  EXPECT_EQ(late->calls(), 1);
  EXPECT_EQ(late->replies(), 1);
}

TEST_F(ClientFaults, AfterADemotionAmidALargeBatchTheConnectionIsReplacedOnceTheBatchIsAnswered) {
  const auto client = connect(server_.unix_url(), kPatient);
  ASSERT_TRUE(client->execute(get("k"), {}, nullptr).ok());
  std::this_thread::sleep_for(1100ms);
  server_.command({"REPLICAOF", "127.0.0.1", "1"});
  server_.pause();
  CommandBatch charge;
  charge.incr_by("k", 1);
  std::thread first([&] {
    const BatchResult result = client->execute(charge, Clock::now() + 5s, nullptr);
    EXPECT_TRUE(result.ok());
    EXPECT_TRUE(result.replies[0].is_error());
  });
  std::this_thread::sleep_for(50ms);
  std::thread second([&] { EXPECT_TRUE(client->execute(large_batch(), Clock::now() + 5s, nullptr).ok()); });
  std::this_thread::sleep_for(50ms);
  server_.resume();
  first.join();
  second.join();
  server_.command({"REPLICAOF", "NO", "ONE"});
  EXPECT_TRUE(client->execute(get("k"), Clock::now() + 5s, nullptr).ok());
}

// ---- handlers -----------------------------------------------------------------------------------------------------

TEST_F(ClientFaults, AnEmptyBatchConsumesNoReply) {
  const auto client = connect(server_.url(), kPatient);
  const auto handler = std::make_shared<CountingHandler>();
  EXPECT_TRUE(client->execute({}, {}, nullptr).ok());
  client->post({}, handler);
  EXPECT_EQ(handler->replies(), 1);
  server_.command({"SET", "k", "7", "EX", "60"});
  const BatchResult result = client->execute(get("k"), {}, nullptr);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.replies[0].to_integer(), 7);
}

TEST_F(ClientFaults, EveryHandlerIsCalledOnceHoweverOftenTheConnectionIsCut) {
  struct Call {
    std::shared_ptr<CountingHandler> handler;
    int expected;
  };
  std::array<std::deque<Call>, 8> calls;
  {
    const auto client = connect(gate_.url(), {.connect_timeout = 1s, .command_timeout = 20ms});
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (std::deque<Call>& mine : calls) {
      threads.emplace_back([&] {
        while (!stop) {
          const auto late = std::make_shared<CountingHandler>();
          const BatchResult result = client->execute(get("k"), {}, late);
          mine.push_back({late, result.failure.may_have_executed ? 1 : 0});
          const auto posted = std::make_shared<CountingHandler>();
          client->post(get("k"), posted);
          mine.push_back({posted, 1});
        }
      });
    }
    for (int i = 0; i < 10; ++i) {
      std::this_thread::sleep_for(20ms);
      if (i % 2 == 0) {
        gate_.cut();
      } else {
        gate_.pass_replies(false);  // calls time out, and their replies come late
        std::this_thread::sleep_for(40ms);
        gate_.pass_replies(true);
      }
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
  }
  int answered = 0;
  int late = 0;
  for (const std::deque<Call>& mine : calls) {
    for (const Call& call : mine) {
      ASSERT_EQ(call.handler->calls(), call.expected);
      answered += call.expected;
      late += call.handler->replies();
    }
  }
  EXPECT_GT(answered, 100);
  EXPECT_GT(late, 0);
}

TEST_F(ClientFaults, AHandlerMayPostAgainAlsoWhileTheClientIsDestroyed) {
  class Chain final : public ReplyHandler {
   public:
    explicit Chain(std::shared_ptr<CountingHandler> last) : last_(std::move(last)) {}
    void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& /*result*/) noexcept override {
      client.post(batch, last_);
    }

   private:
    std::shared_ptr<CountingHandler> last_;
  };
  const auto last = std::make_shared<CountingHandler>();
  auto client = connect(server_.url(), kQuick);
  ASSERT_TRUE(client->execute(get("k"), Clock::now() + 5s, nullptr).ok());
  client->post(get("k"), std::make_shared<Chain>(last));
  ASSERT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_EQ(last->replies(), 1);
  server_.pause();
  client->post(get("k"), std::make_shared<Chain>(last));
  client.reset();
  EXPECT_EQ(last->calls(), 2);
  server_.resume();
}

// ---- what was posted ----------------------------------------------------------------------------------------------

TEST_F(ClientFaults, ASettlementOnAConnectionThatWasClosedWhileIdleIsNotLost) {
  const auto client = connect(server_.url(), kPatient);
  RedisRateLimiter limiter{client, config()};
  auto reservation = limiter.reserve("u", 100);
  server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  std::this_thread::sleep_for(5ms);
  reservation.settle(40);
  ASSERT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_EQ(counter("u"), 40);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(ClientFaults, ASettlementThatMeetsALateReplyIsSentAsItIs) {
  const auto client = connect(server_.url(), kQuick);
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  limiter.record("another", 1);  // Redis has loaded the script: nothing is encoded a second time
  Reservation reservation = limiter.reserve("u", 100);
  ASSERT_TRUE(reservation.allowed());
  server_.pause();
  EXPECT_FALSE(limiter.check_and_consume("u", 7));
  server_.resume();
  // 107, or 100 where the service thread has read the late reply first.
  ASSERT_TRUE(soon([&] { return counter("u") >= 100; }));
  reservation.settle(40);  // may read the reply to the charge of 7, which is undone
  ASSERT_TRUE(client->drain(Clock::now() + 5s));
  EXPECT_EQ(counter("u"), 40);
}

TEST_F(ClientFaults, AnObserverMayCallWhileAHandlerPosts) {
  struct Caller final : Observer {
    void on_event(const Event& event) noexcept override {
      const bool is_up = event.kind == EventKind::kConnected || event.kind == EventKind::kCircuitClosed;
      if (!is_up || !is_watching.exchange(false)) return;
      decision = limiter->try_consume("the observer's", 1);
      has_decided = decision.source == Source::kRedis;
      is_watching = !has_decided;  // the circuit may be open until the test's own call has been answered
    }
    std::atomic<bool> is_watching{false};
    std::atomic<bool> has_decided{false};
    RedisRateLimiter* limiter = nullptr;
    Decision decision;
  };
  const auto caller = std::make_shared<Caller>();
  const auto client = connect(server_.url(), {.connect_timeout = 1s, .command_timeout = 1s, .observer = caller});
  RedisRateLimiter limiter{client, config(FailurePolicy::kDeny)};
  caller->limiter = &limiter;
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  server_.pause();
  EXPECT_FALSE(limiter.consume("u", 7, {.deadline = Clock::now() + 50ms}).allowed);
  caller->is_watching = true;
  server_.kill();
  server_.restart();
  ASSERT_TRUE(soon([&] { return limiter.peek("u").source == Source::kRedis; }));  // its charge's expiry is posted first
  ASSERT_TRUE(soon([&] { return caller->has_decided.load(); }));                  // on the service thread, perhaps
  EXPECT_TRUE(caller->decision.allowed);
}

// ---- descriptors --------------------------------------------------------------------------------------------------

TEST_F(ClientFaults, AForkedChildClosesOnlyTheClientsDescriptors) {
  // After a refused handshake the descriptor's number may be reused by the next open().
  RedisRateLimiter limiter{
      connect("redis://:wrong@127.0.0.1:" + std::to_string(server_.port()) + "?command_timeout_ms=5000"), config()};
  EXPECT_THROW(static_cast<void>(limiter.check_and_consume("u", 1)), ServerError);
  std::array<int, 16> files{};
  for (int& file : files) file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t child = ::fork();
  if (child == 0) {
    static_cast<void>(limiter.try_consume("u", 1));
    for (const int file : files) {
      if (::fcntl(file, F_GETFD) < 0) ::_exit(1);
    }
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  for (const int file : files) ::close(file);
}

}  // namespace
}  // namespace tollgate::tests
