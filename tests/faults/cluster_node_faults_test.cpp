// One node of a Redis Cluster freezes, is shut down, or has its connections cut: the users of the others are served,
// and its own get no answer that is not theirs.
#include <atomic>
#include <vector>

#include "faults/cluster_test.hpp"
#include "faults/tcp_gate.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;
using testing::RedisCluster;

const ClientOptions kPatient{.connect_timeout = 10s, .command_timeout = 10s};

class ClusterNodeFaults : public ClusterTest {
 protected:
  [[nodiscard]] RateLimitConfig config(std::int64_t limit, Admission admission = Admission::kPipelined) const {
    return {.max_tokens_per_minute = limit, .admission = admission, .deny_memory = 0ms, .clock = clock_};
  }
};

TEST_F(ClusterNodeFaults, ACallToANodeThatGaveItsSlotsAwayAndWasShutDownIsRoutedAnew) {
  RedisCluster cluster{{.primaries = 2}};
  const std::size_t added = cluster.add_node();
  RedisRateLimiter limiter{connect(cluster.url(), kPatient), config(1000)};
  const std::size_t home = first_owner(0, 2);
  const std::uint16_t slot = RedisCluster::slot_of(key(0));
  int charged = 0;
  // Each time, MOVED corrects the client's map before it is read as a whole, which then finds nothing new.
  for (int i = 0; i < 9; ++i) {
    cluster.migrate(slot, i % 2 == 0 ? added : home);
    ASSERT_NO_THROW(EXPECT_TRUE(limiter.check_and_consume(user_number(0), 1)));
    ++charged;
    std::this_thread::sleep_for(200ms);
  }
  cluster.migrate(slot, home);  // the client is not told
  cluster.forget_node(added);
  ASSERT_NO_THROW(EXPECT_TRUE(limiter.check_and_consume(user_number(0), 1)));
  ++charged;
  EXPECT_EQ(counter(cluster, 0), charged);
}

TEST_F(ClusterNodeFaults, AFrozenNodeFailsItsOwnUsersAloneAndOverAdmitsNoneAfterwards) {
  constexpr int kUsers = 60;
  constexpr std::int64_t kBudget = 40;
  RedisCluster cluster{{.primaries = 3, .arguments = {"--cluster-require-full-coverage", "no"}}};
  RedisRateLimiter limiter{connect(cluster.url(), {.connect_timeout = 1s, .command_timeout = 500ms}),
                           config(kBudget, Admission::kAtomic)};
  const auto is_on_frozen = [this](int user) { return first_owner(user, 3) == 1; };
  for (int user = 0; user < kUsers; ++user) ASSERT_TRUE(limiter.check_and_consume(user_number(user), 1));

  struct User {
    std::atomic<std::int64_t> granted{1};
    std::atomic<std::int64_t> failed{0};
    std::atomic<std::int64_t> in_doubt{0};  // tokens
  };
  std::vector<User> users(kUsers);
  std::atomic<std::int64_t> slowest{0};  // ns
  cluster.node(1).pause();
  std::vector<std::thread> threads;
  const auto end = Clock::now() + 3s;  // longer than the Cluster takes to find that the node does not answer
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      for (int user = thread; Clock::now() < end; user = (user + 7) % kUsers) {
        const auto start = Clock::now();
        try {
          if (limiter.check_and_consume(user_number(user), 1)) ++users[static_cast<std::size_t>(user)].granted;
        } catch (const Error& error) {
          ++users[static_cast<std::size_t>(user)].failed;
          if (error.may_have_executed()) ++users[static_cast<std::size_t>(user)].in_doubt;
        }
        const std::int64_t took = (Clock::now() - start).count();
        for (std::int64_t seen = slowest; took > seen && !slowest.compare_exchange_weak(seen, took);) {
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(std::chrono::nanoseconds{slowest}, 3s) << "the command timeout is 500 ms; the machine may be slow";
  for (int user = 0; user < kUsers; ++user) {
    const User& each = users[static_cast<std::size_t>(user)];
    if (is_on_frozen(user)) {
      EXPECT_EQ(each.granted, 1) << user;
      EXPECT_GT(each.failed, 0) << user;
    } else {
      EXPECT_GT(each.granted, 1) << user;
      EXPECT_LE(each.granted, kBudget) << user;
      EXPECT_EQ(each.failed, 0) << user;
    }
  }

  cluster.node(1).resume();
  for (int user = 0; user < kUsers; ++user) {
    EXPECT_TRUE(soon([&] { return !limiter.try_consume(user_number(user), 0).failure; })) << user;
  }
  EXPECT_TRUE(limiter.drain(Clock::now() + 10s));
  for (int user = 0; user < kUsers; ++user) {
    User& each = users[static_cast<std::size_t>(user)];
    while (limiter.check_and_consume(user_number(user), 1)) ++each.granted;
    EXPECT_LE(each.granted, kBudget) << user;
    EXPECT_GE(each.granted, kBudget - each.in_doubt) << user;  // what stays in doubt stays charged
    EXPECT_EQ(counter(cluster, user), kBudget) << user;
  }
  EXPECT_THAT(cluster.keys_without_ttl(), ::testing::IsEmpty());
}

/// Keeps the keys of each part that it is called with.
class KeepingHandler final : public ReplyHandler {
 public:
  void handle(RedisClient& /*client*/, const CommandBatch& batch, const BatchResult& result) noexcept override {
    const std::lock_guard lock{mutex_};
    std::vector<std::string>& keys = parts_.emplace_back();
    for (std::size_t i = 0; i < batch.size(); ++i) keys.emplace_back(batch[i].key);
    if (result.ok()) ++answered_;
  }
  [[nodiscard]] std::vector<std::vector<std::string>> parts() const {
    const std::lock_guard lock{mutex_};
    return parts_;
  }
  [[nodiscard]] std::size_t answered() const {
    const std::lock_guard lock{mutex_};
    return answered_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::vector<std::string>> parts_;
  std::size_t answered_ = 0;
};

TEST_F(ClusterNodeFaults, ADividedBatchInDoubtCallsItsHandlerOnceForEachPart) {
  RedisCluster cluster{{.primaries = 3, .arguments = {"--cluster-node-timeout", "20000"}}};
  const auto client = connect(cluster.url(), kPatient);
  const std::vector<std::string> keys{key(user_on(0, 3)), key(user_on(1, 3)), key(user_on(2, 3)),
                                      key(user_on(1, 3, user_on(1, 3) + 1))};
  CommandBatch batch;
  for (const std::string& each : keys) {
    batch.incr_by(each, 1);
    batch.expire(each, 60s);
  }
  const auto deadline = [] { return Clock::now() + 300ms; };
  ASSERT_TRUE(client->execute(batch, Clock::now() + 10s, nullptr).ok());
  const auto of_node_1 = std::vector{keys[1], keys[1], keys[3], keys[3]};

  cluster.node(1).pause();
  const auto of_one = std::make_shared<KeepingHandler>();
  const BatchResult in_part = client->execute(batch, deadline(), of_one);
  EXPECT_TRUE(in_part.ok());
  EXPECT_EQ(in_part.failed_commands.size(), 4U);
  EXPECT_TRUE((ReplyRange{in_part, 2, 2}.failure().may_have_executed));
  EXPECT_FALSE((ReplyRange{in_part, 0, 2}.failure().code));

  cluster.node(0).pause();
  cluster.node(2).pause();
  const auto of_all = std::make_shared<KeepingHandler>();
  const BatchResult of_none = client->execute(batch, deadline(), of_all);
  EXPECT_TRUE(of_none.failure.may_have_executed);

  for (std::size_t node = 0; node < 3; ++node) cluster.node(node).resume();
  EXPECT_TRUE(client->drain(Clock::now() + 10s));
  EXPECT_THAT(of_one->parts(), ::testing::ElementsAre(of_node_1));
  EXPECT_THAT(of_all->parts(),
              ::testing::UnorderedElementsAre(std::vector{keys[0], keys[0]}, of_node_1, std::vector{keys[2], keys[2]}));
  EXPECT_EQ(of_one->answered() + of_all->answered(), 4U);
  for (int user : {user_on(0, 3), user_on(1, 3), user_on(2, 3)}) EXPECT_EQ(counter(cluster, user), 3) << user;
}

/// A Cluster of two primaries; clients reach the first through a gate, which the Cluster reports as its address.
class GatedNode : public ClusterNodeFaults {
 protected:
  void SetUp() override {
    cluster_.node(0).command({"CONFIG", "SET", "cluster-announce-port", std::to_string(gate_.port())});
    for (std::size_t node = 0; node < 2; ++node) {
      ASSERT_TRUE(soon([&] {
        const Reply slots = cluster_.node(node).command({"CLUSTER", "SLOTS"});
        for (const Reply& range : slots.elements()) {
          if (range.elements().at(2).elements().at(1).to_integer() == gate_.port()) return true;
        }
        return false;
      }));
    }
  }
  void TearDown() override { EXPECT_THAT(cluster_.keys_without_ttl(), ::testing::IsEmpty()); }

  [[nodiscard]] std::string url() const {
    return "redis+cluster://127.0.0.1:" + std::to_string(gate_.port()) +
           ",127.0.0.1:" + std::to_string(cluster_.node(1).port());
  }
  [[nodiscard]] std::int64_t counter_of(int user) const { return counter(cluster_.node(first_owner(user, 2)), user); }

  RedisCluster cluster_{{.primaries = 2}};
  TcpGate gate_{cluster_.node(0).port()};
  const int a_ = user_on(0, 2);
  const int b_ = user_on(0, 2, a_ + 1);
  const int other_ = user_on(1, 2);
};

TEST_F(GatedNode, RepliesCutAtAnyByteLeaveItsOwnUsersInDoubtAndServeTheOthers) {
  const std::string a = user_number(a_);
  const std::string b = user_number(b_);
  const std::string other = user_number(other_);
  const std::vector<ConsumeRequest> requests{{a, 10}, {other, 5}, {b, 20}};
  constexpr std::size_t kReplies = std::string_view{":10\r\n:1\r\n:20\r\n:1\r\n"}.size();
  for (std::size_t bytes = 0; bytes < kReplies; ++bytes) {
    RedisRateLimiter limiter{connect(url(), kPatient), config(1000)};
    ASSERT_TRUE(limiter.check_and_consume(a, 0));
    ASSERT_TRUE(limiter.check_and_consume(other, 0));
    gate_.cut_after_reply_bytes(bytes);
    const std::vector<Decision> decisions = limiter.consume_all(requests);
    EXPECT_FALSE(decisions[0].allowed) << bytes;
    EXPECT_FALSE(decisions[2].allowed) << bytes;
    EXPECT_EQ(decisions[0].failure, Errc::kConnectionLost) << bytes;
    EXPECT_EQ(decisions[2].failure, Errc::kConnectionLost) << bytes;
    EXPECT_TRUE(decisions[1].allowed) << bytes << ": " << decisions[1].failure.message();
    EXPECT_EQ(limiter.stats().in_doubt_tokens, 30U) << bytes;
    ASSERT_TRUE(limiter.drain(Clock::now() + 5s));
    EXPECT_EQ(counter_of(a_), 10) << bytes;  // sent once, never repeated
    EXPECT_EQ(counter_of(b_), 20) << bytes;
    EXPECT_EQ(counter_of(other_), 5) << bytes;
    ASSERT_THAT(cluster_.keys_without_ttl(), ::testing::IsEmpty()) << bytes;
    for (std::size_t node = 0; node < 2; ++node) cluster_.node(node).command({"FLUSHALL"});
  }
}

TEST_F(GatedNode, ASlotMapCutAtAnyByteIsReadFromAnotherNode) {
  const auto make_calls = [&](std::size_t bytes) {
    RedisRateLimiter limiter{connect(url(), kPatient), config(1000)};
    EXPECT_EQ(limiter.consume(user_number(other_), 0).source, Source::kRedis) << bytes;
    EXPECT_TRUE(soon([&] { return !limiter.try_consume(user_number(a_), 0).failure; })) << bytes;
  };
  const std::size_t before = gate_.reply_bytes();
  make_calls(0);
  const std::size_t replies = gate_.reply_bytes() - before;
  ASSERT_GT(replies, 100U);
  for (std::size_t bytes = 0; bytes < replies; bytes += 3) {
    const int cuts = gate_.cuts();
    gate_.cut_after_reply_bytes(bytes);
    make_calls(bytes);
    EXPECT_EQ(gate_.cuts(), cuts + 1) << bytes;
  }
}

}  // namespace
}  // namespace tollgate::tests
