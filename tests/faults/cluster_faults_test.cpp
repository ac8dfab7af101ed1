// A Redis Cluster under load from many threads while its slots move and its nodes fail.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "faults/cluster_test.hpp"

namespace tollgate::tests {
namespace {

using testing::RedisCluster;
using SteadyClock = std::chrono::steady_clock;

constexpr std::int64_t kBudget = 100;
constexpr int kUsers = 200;
constexpr int kThreads = 8;

/// Threads that charge the users at random, and an account of what they were granted. Two clients, as two processes
/// have.
class Load {
 public:
  Load(const RedisCluster& cluster, Admission admission, std::shared_ptr<const Clock> clock) : granted_(kUsers) {
    for (auto& each : granted_) each = 0;
    for (int i = 0; i < 2; ++i) {
      limiters_.push_back(std::make_unique<RedisRateLimiter>(
          connect(cluster.url(), {.connect_timeout = 1s, .command_timeout = 1s}),
          RateLimitConfig{
              .max_tokens_per_minute = kBudget, .admission = admission, .deny_memory = 0ms, .clock = clock}));
    }
    for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this, i] { run(i); });
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() { stop(); }

  void stop() {
    stops_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    for (const auto& limiter : limiters_) EXPECT_TRUE(limiter->drain(SteadyClock::now() + 10s));
  }

  [[nodiscard]] std::int64_t granted(int user) const { return granted_[static_cast<std::size_t>(user)]; }
  [[nodiscard]] int decided() const { return decided_; }
  /// Calls that certainly were not executed, and those that may have been.
  [[nodiscard]] int failed() const { return failed_; }
  [[nodiscard]] int in_doubt() const { return in_doubt_; }
  [[nodiscard]] std::string last_error() const {
    const std::lock_guard lock{mutex_};
    return last_error_;
  }
  [[nodiscard]] std::chrono::nanoseconds slowest() const { return std::chrono::nanoseconds{slowest_.load()}; }
  [[nodiscard]] std::uint64_t undelivered() const {
    return limiters_[0]->undelivered().batches + limiters_[1]->undelivered().batches;
  }
  [[nodiscard]] RedisRateLimiter& limiter() { return *limiters_[0]; }
  /// Waits until `count` more requests have been decided.
  void await_decisions(int count) const {
    const int until = decided_ + count;
    for (const auto end = SteadyClock::now() + 10s; decided_ < until && SteadyClock::now() < end;) {
      std::this_thread::sleep_for(2ms);
    }
    EXPECT_GE(decided_, until);
  }

 private:
  void run(int thread) {
    RedisRateLimiter& limiter = *limiters_[static_cast<std::size_t>(thread) % limiters_.size()];
    for (unsigned i = static_cast<unsigned>(thread); !stops_; i += 7) {
      const int user = static_cast<int>(i * 2654435761U % kUsers);
      const std::int64_t tokens = 1 + i % 3;
      const auto start = SteadyClock::now();
      try {
        if (i % 5 == 0) {
          Reservation reservation = limiter.reserve(user_number(user), tokens + 2);
          if (reservation.decision().allowed) {
            reservation.settle(tokens);
            granted_[static_cast<std::size_t>(user)] += tokens;
          }
        } else if (limiter.check_and_consume(user_number(user), tokens)) {
          granted_[static_cast<std::size_t>(user)] += tokens;
        }
        ++decided_;
      } catch (const Error& error) {
        ++(error.may_have_executed() ? in_doubt_ : failed_);
        const std::lock_guard lock{mutex_};
        last_error_ = error.what();
      }
      const std::int64_t took = (SteadyClock::now() - start).count();
      for (std::int64_t slowest = slowest_; took > slowest && !slowest_.compare_exchange_weak(slowest, took);) {
      }
    }
  }

  std::vector<std::atomic<std::int64_t>> granted_;
  std::atomic<int> decided_{0};
  std::atomic<int> failed_{0};
  std::atomic<int> in_doubt_{0};
  std::atomic<std::int64_t> slowest_{0};
  std::atomic<bool> stops_{false};
  mutable std::mutex mutex_;
  std::string last_error_;
  std::vector<std::unique_ptr<RedisRateLimiter>> limiters_;
  std::vector<std::thread> threads_;
};

class ClusterFailover : public ClusterTest {
 protected:
  /// No user got more than the budget, and what is in Redis is what was granted: no reply was taken for another's.
  void expect_exact(RedisCluster& cluster, const Load& load) const {
    EXPECT_EQ(load.undelivered(), 0U);
    for (int user = 0; user < kUsers; ++user) {
      EXPECT_LE(load.granted(user), kBudget) << user;
      EXPECT_EQ(counter(cluster, user), load.granted(user)) << user;
    }
    EXPECT_THAT(cluster.keys_without_ttl(), ::testing::IsEmpty());
  }
};

class ClusterFaults : public ClusterFailover, public ::testing::WithParamInterface<Admission> {};

TEST_P(ClusterFaults, SlotsMovedKeyByKeyUnderLoadAndANodeAddedAndForgottenLoseNothing) {
  RedisCluster cluster{{.primaries = 2}};
  Load load{cluster, GetParam(), clock_};
  load.await_decisions(200);
  const std::size_t added = cluster.add_node();

  // One slot stands half moved for a while: keys that have gone are answered with ASK, others are not.
  const std::uint16_t slot = RedisCluster::slot_of(key(0));
  const std::size_t home = cluster.owner_of(slot);
  cluster.begin_migration(slot, added);
  load.await_decisions(200);
  cluster.move_keys(slot, added, 1);
  load.await_decisions(400);
  EXPECT_EQ(cluster.node(added).command({"EXISTS", key(0)}).is_error(), true);  // MOVED or ASK: it is not the owner yet
  while (cluster.move_keys(slot, added, 10) > 0) {
  }
  cluster.end_migration(slot, added);

  // A whole resharding: the slots of every ninth user go to the new node, and back.
  for (const bool back : {false, true}) {
    for (int user = 0; user < kUsers; user += 9) {
      const std::uint16_t its_slot = RedisCluster::slot_of(key(user));
      cluster.migrate(its_slot, back ? home : added);
    }
    load.await_decisions(300);
  }
  cluster.migrate(slot, home);
  load.await_decisions(100);
  EXPECT_EQ(load.failed() + load.in_doubt(), 0) << load.last_error();
  // Calls for slots that have moved away from the node, of which the client has not learnt yet, are routed anew, unless
  // one is in flight when it ends.
  cluster.forget_node(added);
  load.await_decisions(300);
  load.stop();
  EXPECT_EQ(load.failed(), 0) << load.last_error();
  EXPECT_LE(load.in_doubt(), kThreads) << load.last_error();
  expect_exact(cluster, load);
}

TEST_F(ClusterFailover, LetsDecisionsContinueAndAdmitsNoMoreOnOtherShards) {
  RedisCluster cluster{{.primaries = 3, .replicas_per_primary = 1}};
  Load load{cluster, Admission::kPipelined, clock_};
  load.await_decisions(500);
  std::vector<int> others;
  for (int user = 0; user < kUsers; ++user) {
    if (cluster.owner_of(key(user)) != 0) others.push_back(user);
  }
  cluster.node(0).kill();
  cluster.wait_until_primary(3);
  cluster.wait_until_served();
  const auto promoted = SteadyClock::now();
  int of_failed = 0;
  while (RedisCluster::slot_of(key(of_failed)) > 16384 / 3 - 1) ++of_failed;
  std::optional<Decision> decision;
  do {
    decision = load.limiter().try_consume(user_number(of_failed), 1);
  } while (decision->failure && SteadyClock::now() < promoted + 10s);
  EXPECT_FALSE(decision->failure) << decision->failure.message();
  load.await_decisions(300);
  load.stop();
  EXPECT_LT(load.slowest(), 3s);  // the command timeout is 1 s; the machine may be slow
  for (const int user : others) EXPECT_LE(load.granted(user), kBudget) << user;
  EXPECT_THAT(cluster.keys_without_ttl(), ::testing::IsEmpty());
}

TEST_P(ClusterFaults, ADeadShardFailsOnlyItsOwnUsers) {
  RedisCluster cluster{{.primaries = 3, .arguments = {"--cluster-require-full-coverage", "no"}}};
  const auto client = connect(cluster.url(), {.connect_timeout = 500ms, .command_timeout = 500ms});
  RedisRateLimiter limiter{
      client, {.max_tokens_per_minute = kBudget, .admission = GetParam(), .deny_memory = 0ms, .clock = clock_}};
  std::vector<std::string> users;
  std::vector<ConsumeRequest> requests;
  for (int user = 0; user < 60; ++user) users.push_back(user_number(user));
  for (const std::string& user : users) requests.push_back({user, 1});
  for (const Decision& decision : limiter.consume_all(requests)) EXPECT_TRUE(decision.allowed);
  cluster.node(1).kill();

  const auto is_on_dead = [&](int user) {
    const unsigned slot = RedisCluster::slot_of(key(user));
    return slot >= 16384 / 3 && slot < 2 * 16384 / 3;
  };
  for (int round = 0; round < 3; ++round) {
    for (int user = 0; user < 60; ++user) {
      const Decision decision = limiter.try_consume(user_number(user), 1);
      EXPECT_EQ(static_cast<bool>(decision.failure), is_on_dead(user)) << user << ": " << decision.failure.message();
    }
    const std::vector<Decision> decisions = limiter.consume_all(requests);
    for (int user = 0; user < 60; ++user) {
      EXPECT_EQ(decisions[static_cast<std::size_t>(user)].allowed, !is_on_dead(user)) << user;
    }
  }
  limiter.ping();  // the service lives
  EXPECT_THAT(cluster.keys_without_ttl(), ::testing::IsEmpty());
}

TEST_F(ClusterFailover, PostsToADeadPrimaryReachItsSuccessor) {
  RedisCluster cluster{{.primaries = 3, .replicas_per_primary = 1}};
  RedisRateLimiter limiter{connect(cluster.url(), {.connect_timeout = 1s, .command_timeout = 1s}),
                           {.max_tokens_per_minute = kBudget, .admission = Admission::kAtomic, .clock = clock_}};
  int user = 0;
  while (cluster.owner_of(key(user)) != 0) ++user;
  Reservation reservation = limiter.reserve(user_number(user), 80);
  ASSERT_TRUE(limiter.drain(SteadyClock::now() + 5s));
  ASSERT_EQ(cluster.node(0).command({"WAIT", "1", "2000"}).to_integer(), 1);
  cluster.node(0).kill();
  while (!limiter.try_consume(user_number(user), 1).failure) {  // until the client has noticed
  }
  reservation.settle(10);
  EXPECT_TRUE(limiter.drain(SteadyClock::now() + 15s));
  EXPECT_EQ(limiter.undelivered().batches, 0U);
  EXPECT_LE(counter(cluster, user), 12);
  EXPECT_GE(counter(cluster, user), 10);
}

INSTANTIATE_TEST_SUITE_P(, ClusterFaults, ::testing::Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& test) { return test.param == Admission::kAtomic ? "Atomic" : "Pipelined"; });

}  // namespace
}  // namespace tollgate::tests
