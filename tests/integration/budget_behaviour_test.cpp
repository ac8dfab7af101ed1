// The behaviour of a BudgetLimiter, as one set of tests: over memory://, over a real redis-server, over the primary
// that a real sentinel names, and over a real Redis Cluster. Windows are those of the server's clock, so the limits
// here are longer than any test, but where a test waits for one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "integration/processes.hpp"
#include "tollgate/budget_limiter.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/redis_cluster.hpp"
#include "tollgate/testing/redis_sentinels.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RedisCluster;
using testing::RedisSentinels;
using testing::RedisServer;
using ::testing::Values;

enum class Store { kMemory, kRedis, kSentinel, kCluster };

std::string name_of(Store store) {
  switch (store) {
    case Store::kMemory: return "Memory";
    case Store::kRedis: return "Redis";
    case Store::kSentinel: return "Sentinel";
    case Store::kCluster: return "Cluster";
  }
  throw std::logic_error("no such store");
}

constexpr std::chrono::hours kLong{24 * 366};

/// One client on one store; the whole suite shares one server of each kind, and each test leaves it empty.
class BudgetTest : public ::testing::Test {
 protected:
  static void TearDownTestSuite() {
    server_.reset();
    sentinels_.reset();
    cluster_.reset();
  }

  [[nodiscard]] RedisServer& server() const {
    if (store_ == Store::kSentinel) return sentinels().server(0);
    if (!server_) server_ = std::make_unique<RedisServer>();
    return *server_;
  }
  static RedisSentinels& sentinels() {
    if (!sentinels_) {
      sentinels_ = std::make_unique<RedisSentinels>(RedisSentinels::Options{.replicas = 0, .sentinels = 1});
    }
    return *sentinels_;
  }

  static RedisCluster& cluster() {
    if (!cluster_) cluster_ = std::make_unique<RedisCluster>();
    return *cluster_;
  }

  void use(Store store) {
    store_ = store;
    client_ = new_client();
  }
  void TearDown() override {
    if (store_ == Store::kMemory || !client_) return;
    let_posts_arrive();
    client_.reset();
    if (store_ == Store::kCluster) {
      EXPECT_THAT(cluster().keys_without_ttl(), IsEmpty());
      return cluster().flush();
    }
    EXPECT_THAT(server().keys_without_ttl(), IsEmpty());
    server().command({"FLUSHALL"});
  }

  [[nodiscard]] std::shared_ptr<RedisClient> new_client() const {
    if (store_ == Store::kMemory) return connect("memory://");
    const std::string url = store_ == Store::kCluster    ? cluster().url()
                            : store_ == Store::kSentinel ? sentinels().url()
                                                         : server().url();
    return connect(url, {.connect_timeout = 5s, .command_timeout = 5s});
  }
  void let_posts_arrive() { EXPECT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s)); }

  /// One limit of each kind of window.
  static BudgetConfig config() {
    BudgetConfig made;
    made.limits = {{.name = "fixed", .max = 10, .window = Window::fixed(kLong)},
                   {.name = "month", .max = 10, .window = Window::utc_month()},
                   {.name = "bucket", .max = 10, .window = Window::token_bucket(kLong)},
                   {.name = "sliding", .max = 10, .window = Window::sliding(kLong)},
                   {.name = "wide", .max = 1'000'000, .window = Window::fixed(kLong)},
                   {.name = "shadow", .max = 10, .window = Window::fixed(kLong), .shadow = true}};
    made.deny_memory = 0ms;
    return made;
  }
  static std::int64_t left(BudgetLimiter& limiter, std::string_view limit, std::string_view subject = "user") {
    return limiter.peek({{limit, subject, 0}}).states[0].remaining.value_or(-1);
  }

  std::shared_ptr<RedisClient> client_;

 private:
  static inline std::unique_ptr<RedisServer> server_;
  static inline std::unique_ptr<RedisSentinels> sentinels_;
  static inline std::unique_ptr<RedisCluster> cluster_;
  Store store_ = Store::kMemory;
};

class BudgetBehaviour : public BudgetTest, public ::testing::WithParamInterface<Store> {
 protected:
  void SetUp() override { use(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(On, BudgetBehaviour, Values(Store::kMemory, Store::kRedis, Store::kSentinel, Store::kCluster),
                         [](const auto& store) { return name_of(store.param); });

TEST_P(BudgetBehaviour, AdmitsUpToTheLimitInEveryKindOfWindow) {
  BudgetLimiter limiter{client_, config()};
  for (const char* limit : {"fixed", "month", "bucket", "sliding"}) {
    EXPECT_EQ(left(limiter, limit), 10);
    EXPECT_TRUE(limiter.consume({{limit, "user", 4}})) << limit;
    EXPECT_TRUE(limiter.consume({{limit, "user", 6}})) << limit;
    const BudgetDecision refused = limiter.consume({{limit, "user"}});
    EXPECT_FALSE(refused) << limit;
    EXPECT_EQ(refused.states[0].remaining, 0);
    EXPECT_GT(refused.retry_after, 0ms);
    EXPECT_GT(refused.states[0].reset_after, 0ms);
    EXPECT_TRUE(limiter.consume({{limit, "another", 10}})) << limit;
  }
}

TEST_P(BudgetBehaviour, ChargesAllLimitsOrNone) {
  BudgetLimiter limiter{client_, config()};
  EXPECT_TRUE(limiter.consume({{"fixed", "key", 9}, {"sliding", "team", 1}}));
  const BudgetDecision refused =
      limiter.consume({{"wide", "model", 5}, {"sliding", "team", 1}, {"fixed", "key", 2}, {"bucket", "key", 10}});
  EXPECT_FALSE(refused);
  EXPECT_EQ(refused.refused_by, 2U);
  EXPECT_EQ(refused.retry_after, refused.states[2].retry_after);
  EXPECT_FALSE(refused.states[1].refuses);
  const BudgetDecision impossible = limiter.consume({{"wide", "model", 5}, {"bucket", "key", 11}});
  EXPECT_EQ(impossible.refused_by, 1U);
  EXPECT_EQ(impossible.retry_after, std::nullopt) << "a bucket of 10 never holds 11";
  EXPECT_EQ(left(limiter, "wide", "model"), 1'000'000);
  EXPECT_EQ(left(limiter, "sliding", "team"), 9);
  EXPECT_EQ(left(limiter, "fixed", "key"), 1);
  EXPECT_EQ(left(limiter, "bucket", "key"), 10);
}

TEST_P(BudgetBehaviour, AddsUpCostsOfTheSameLimitAndSubject) {
  BudgetLimiter limiter{client_, config()};
  EXPECT_FALSE(limiter.consume({{"fixed", "user", 6}, {"fixed", "user", 5}}));
  EXPECT_TRUE(limiter.consume({{"fixed", "user", 6}, {"fixed", "user", 4}}));
  EXPECT_EQ(left(limiter, "fixed"), 0);
}

TEST_P(BudgetBehaviour, ChargesSixteenLimitsAtOnce) {
  BudgetLimiter limiter{client_, config()};
  std::vector<std::string> subjects;
  for (int i = 0; i < 16; ++i) subjects.push_back("subject " + std::to_string(i));
  std::vector<Charge> charges;
  for (const std::string& subject : subjects) charges.push_back({"bucket", subject, 3});
  EXPECT_TRUE(limiter.consume(charges));
  for (const std::string& subject : subjects) EXPECT_EQ(left(limiter, "bucket", subject), 7);
}

TEST_P(BudgetBehaviour, KeepsSubjectsOfAllBytesApart) {
  using namespace std::string_literals;
  BudgetLimiter limiter{client_, config()};
  const std::vector<std::string> subjects{
      "a"s, "a:b"s, "{a}"s, "a}"s, "}"s, "{"s, "*"s, "\0"s, "\xff"s, "a}:fixed"s, std::string(512, 'u')};
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    EXPECT_TRUE(limiter.consume({{"fixed", subjects[i], static_cast<std::int64_t>(i % 9) + 1}}));
  }
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    EXPECT_EQ(left(limiter, "fixed", subjects[i]), 9 - static_cast<std::int64_t>(i % 9)) << i;
  }
  limiter.reset("fixed", "a");
  EXPECT_EQ(left(limiter, "fixed", "a"), 10);
  EXPECT_EQ(left(limiter, "fixed", "a:b"), 8);
}

TEST_P(BudgetBehaviour, RecordsPastTheLimitAndRefusesUntilItIsReset) {
  BudgetLimiter limiter{client_, config()};
  limiter.record({{"fixed", "user", 25}, {"wide", "user", 25}});
  EXPECT_EQ(left(limiter, "wide"), 999'975);
  EXPECT_FALSE(limiter.consume({{"fixed", "user", 0}}));
  limiter.reset("fixed", "user");
  EXPECT_TRUE(limiter.consume({{"fixed", "user", 10}}));
}

TEST_P(BudgetBehaviour, RepeatsAnOperationWithItsFirstAnswer) {
  BudgetLimiter limiter{client_, config()};
  const std::vector<Charge> charges{{"fixed", "user", 6}, {"wide", "user", 6}};
  const BudgetDecision first = limiter.consume(charges, {.operation_id = "op"});
  const BudgetDecision again = limiter.consume(charges, {.operation_id = "op"});
  EXPECT_TRUE(again);
  EXPECT_EQ(again.states[0].remaining, first.states[0].remaining);
  EXPECT_EQ(left(limiter, "fixed"), 4);
  EXPECT_FALSE(limiter.consume(charges, {.operation_id = "op2"}));
  limiter.reset("fixed", "user");
  EXPECT_FALSE(limiter.consume(charges, {.operation_id = "op2"}));
  limiter.record(charges, {.operation_id = "op"});
  limiter.record(charges, {.operation_id = "op"});
  EXPECT_EQ(left(limiter, "fixed"), 4);
}

TEST_P(BudgetBehaviour, CountsButNeverRefusesInShadowMode) {
  BudgetLimiter limiter{client_, config()};
  EXPECT_TRUE(limiter.consume({{"shadow", "user", 8}}));
  const BudgetDecision decision = limiter.consume({{"shadow", "user", 8}, {"wide", "user", 1}});
  EXPECT_TRUE(decision);
  EXPECT_TRUE(decision.states[0].would_refuse);
  EXPECT_EQ(left(limiter, "shadow"), 0);
  EXPECT_EQ(left(limiter, "wide"), 999'999);
}

TEST_P(BudgetBehaviour, SettlesAReservationOfSeveralLimits) {
  BudgetLimiter limiter{client_, config()};
  BudgetReservation reservation =
      limiter.reserve({{"fixed", "key"}, {"bucket", "team", 8}, {"sliding", "team", 8}, {"wide", "model", 500}});
  EXPECT_TRUE(reservation);
  EXPECT_FALSE(reservation.add({0, 1, 3, 0}));
  EXPECT_TRUE(reservation.add({0, 1, 1, 100}));
  reservation.settle({1, 4, 2, 700});
  EXPECT_EQ(left(limiter, "fixed", "key"), 9);
  EXPECT_EQ(left(limiter, "bucket", "team"), 6);
  EXPECT_EQ(left(limiter, "sliding", "team"), 8);
  EXPECT_EQ(left(limiter, "wide", "model"), 999'300);
}

TEST_P(BudgetBehaviour, ReadsAnOverrideOfTheProcessInEachCall) {
  std::atomic<std::int64_t> max{20};
  BudgetConfig config = BudgetTest::config();
  config.deny_memory = 1min;
  config.override_max = [&max](auto, auto) { return std::optional{max.load()}; };
  BudgetLimiter limiter{client_, config};
  EXPECT_TRUE(limiter.consume({{"fixed", "user", 20}}));
  EXPECT_FALSE(limiter.consume({{"fixed", "user"}}));
  max = 25;
  EXPECT_TRUE(limiter.consume({{"fixed", "user", 5}}));
  max = 24;
  EXPECT_FALSE(limiter.consume({{"fixed", "user", 0}}));
}

TEST_P(BudgetBehaviour, NeverAdmitsMoreThanTheLimitFromEightThreads) {
  BudgetConfig config = BudgetTest::config();
  config.limits[4].max = 500;
  BudgetLimiter limiter{client_, config};
  std::atomic<std::int64_t> admitted{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 100; ++i) {
        const std::int64_t cost = 1 + (i + thread) % 3;
        const std::string own = "thread " + std::to_string(thread);
        if (limiter.consume({{"wide", "hot", cost}, {"sliding", own, i < 10 ? 1 : 0}})) admitted += cost;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 500);
  EXPECT_EQ(left(limiter, "wide", "hot"), 0);
}

// --- what only Redis shows -------------------------------------------------------------------------------------------

class BudgetOnRedis : public BudgetTest {
 protected:
  void SetUp() override { use(Store::kRedis); }

  /// Bytes of all keys, and when they expire.
  [[nodiscard]] std::map<std::string, std::string> content() const {
    std::map<std::string, std::string> all;
    const Reply keys = server().command({"KEYS", "*"});
    for (const Reply& key : keys.elements()) {
      all[key.text()] = server().command({"GET", key.text()}).text() + " until " +
                        std::to_string(server().command({"PEXPIRETIME", key.text()}).to_integer().value_or(0));
    }
    return all;
  }
};

TEST_F(BudgetOnRedis, ARefusalLeavesEveryByteAndEveryExpiryAsItWas) {
  BudgetLimiter limiter{client_, config()};
  EXPECT_TRUE(
      limiter.consume({{"fixed", "user", 9}, {"month", "user", 2}, {"bucket", "user", 3}, {"sliding", "user", 4}}));
  const auto before = content();
  ASSERT_EQ(before.size(), 4U);
  EXPECT_THAT(before.begin()->first, HasSubstr("tollgate:{user}:"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(limiter.consume(
        {{"month", "user"}, {"bucket", "user"}, {"sliding", "user"}, {"wide", "new"}, {"fixed", "user", 2}}));
    EXPECT_FALSE(limiter.try_consume({{"fixed", "user", 11}}));
    static_cast<void>(limiter.peek({{"fixed", "user"}, {"wide", "new"}}));
  }
  EXPECT_EQ(content(), before);
}

TEST_F(BudgetOnRedis, AnErrorOfOneKeyChargesNoOther) {
  BudgetLimiter limiter{client_, config()};
  EXPECT_TRUE(limiter.consume({{"fixed", "user", 1}}));
  server().command({"SADD", "tollgate:{user}:bucket", "x"});
  server().command({"EXPIRE", "tollgate:{user}:bucket", "1000"});
  server().command({"SET", "tollgate:{user}:sliding", "not a state", "EX", "1000"});
  EXPECT_THROW(static_cast<void>(limiter.consume({{"fixed", "user"}, {"bucket", "user"}})), ServerError);
  EXPECT_THROW(static_cast<void>(limiter.consume({{"fixed", "user"}, {"sliding", "user"}})), ServerError);
  EXPECT_EQ(left(limiter, "fixed"), 9);
}

TEST_F(BudgetOnRedis, TwoProcessesNeverAdmitMoreThanTheLimit) {
  struct Count {
    std::atomic<std::int64_t> admitted{0};
  };
  tests::SharedCounters<Count> count;
  tests::Processes processes;
  const std::string url = server().url();
  for (int process = 0; process < 2; ++process) {
    processes.start([&] {
      BudgetConfig config = BudgetTest::config();
      config.limits[4].max = 700;
      BudgetLimiter limiter{connect(url, {.connect_timeout = 10s, .command_timeout = 10s}), config};
      std::vector<std::thread> threads;
      for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
          for (int i = 0; i < 200; ++i) {
            BudgetReservation reservation = limiter.reserve({{"wide", "hot", 3}, {"shadow", "hot"}});
            if (!reservation) continue;
            const std::int64_t used = i % 4;
            count->admitted += used;
            reservation.settle({used, 1});
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 10s));
    });
  }
  EXPECT_EQ(processes.join(), 0);
  BudgetConfig config = BudgetTest::config();
  config.limits[4].max = 700;
  BudgetLimiter limiter{client_, config};
  EXPECT_LE(count->admitted, 700);
  EXPECT_EQ(left(limiter, "wide", "hot"), 700 - count->admitted);
}

TEST_F(BudgetOnRedis, AnOverrideInRedisBindsTheNextCallOfEveryLimiter) {
  BudgetConfig config = BudgetTest::config();
  config.overrides_in_redis = true;
  config.deny_memory = 1min;
  BudgetLimiter one{client_, config};
  BudgetLimiter other{new_client(), config};
  EXPECT_FALSE(one.consume({{"fixed", "user", 11}}));
  server().command({"HSET", "tollgate:{user}:max", "fixed", "50"});
  server().command({"EXPIRE", "tollgate:{user}:max", "1000"});
  const BudgetDecision raised = one.consume({{"fixed", "user", 11}, {"bucket", "user", 1}});
  EXPECT_TRUE(raised);
  EXPECT_EQ(raised.states[0].max, 50);
  EXPECT_EQ(raised.states[1].max, 10);
  server().command({"HSET", "tollgate:{user}:max", "fixed", "11"});
  EXPECT_FALSE(other.consume({{"fixed", "user"}}));
  EXPECT_FALSE(one.consume({{"fixed", "user"}}));
  for (const char* damaged : {"-1", "many", "9007199254740992", ""}) {
    server().command({"HSET", "tollgate:{user}:max", "fixed", damaged});
    EXPECT_EQ(one.peek({{"fixed", "user"}}).states[0].max, 10) << damaged;
  }
}

TEST_F(BudgetOnRedis, AWindowEndsByTheServersClock) {
  BudgetConfig config;
  config.limits = {{.name = "short", .max = 1, .window = Window::sliding(1s)}};
  config.deny_memory = 0ms;
  BudgetLimiter limiter{client_, config};
  EXPECT_TRUE(limiter.consume({{"short", "user"}}));
  const BudgetDecision refused = limiter.consume({{"short", "user"}});
  ASSERT_FALSE(refused);
  ASSERT_LE(refused.retry_after, 1063ms);
  std::this_thread::sleep_for(*refused.retry_after);
  EXPECT_TRUE(limiter.consume({{"short", "user"}}));
}

// --- what only a Cluster shows ---------------------------------------------------------------------------------------

class BudgetOnACluster : public BudgetTest {
 protected:
  void SetUp() override { use(Store::kCluster); }
};

TEST_F(BudgetOnACluster, GivesBackOnOneNodeWhatAnotherRefused) {
  BudgetLimiter limiter{client_, config()};
  std::vector<std::string> subjects;
  std::vector<Charge> charges;
  for (int i = 0; i < 15; ++i) subjects.push_back("subject " + std::to_string(i));
  for (const std::string& subject : subjects) charges.push_back({"wide", subject, 100});
  charges.push_back({"fixed", "small", 6});
  EXPECT_TRUE(limiter.consume(charges));
  const BudgetDecision refused = limiter.consume(charges);
  EXPECT_FALSE(refused);
  EXPECT_EQ(refused.refused_by, 15U);
  let_posts_arrive();
  BudgetLimiter other{new_client(), config()};
  for (const std::string& subject : subjects) EXPECT_EQ(left(other, "wide", subject), 999'900) << subject;
  EXPECT_EQ(left(other, "fixed", "small"), 4);
}

TEST_F(BudgetOnACluster, NeverAdmitsMoreThanAnyLimitWhereSeveralNodesDecide) {
  BudgetConfig config = BudgetTest::config();
  config.limits[4].max = 300;
  BudgetLimiter limiter{client_, config};
  std::array<std::atomic<std::int64_t>, 8> admitted{};
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < admitted.size(); ++thread) {
    threads.emplace_back([&, thread] {
      const std::string own = "thread " + std::to_string(thread);
      for (int i = 0; i < 100; ++i) {
        if (limiter.consume({{"wide", "everybody", 2}, {"wide", own, 5}})) ++admitted[thread];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  let_posts_arrive();
  std::int64_t all = 0;
  for (std::size_t thread = 0; thread < admitted.size(); ++thread) {
    EXPECT_LE(admitted[thread], 60);
    EXPECT_EQ(left(limiter, "wide", "thread " + std::to_string(thread)), 300 - 5 * admitted[thread]);
    all += admitted[thread];
  }
  EXPECT_LE(all, 150);
  EXPECT_GT(all, 0);
  EXPECT_EQ(left(limiter, "wide", "everybody"), 300 - 2 * all) << "what was refused was given back";
}

TEST_F(BudgetOnACluster, RefusesAnOperationIdForSubjectsOfSeveralSlotsAndChargesNothing) {
  BudgetLimiter limiter{client_, config()};
  const std::vector<Charge> charges{{"fixed", "user"}, {"wide", "everybody"}};
  try {
    static_cast<void>(limiter.consume(charges, {.operation_id = "op"}));
    FAIL() << "it was charged";
  } catch (const ServerError& error) {
    EXPECT_EQ(error.code(), Errc::kCrossSlot);
    EXPECT_THAT(error.what(), HasSubstr("all charges with an operation_id must have the same subject"));
  }
  EXPECT_EQ(left(limiter, "fixed"), 10);
  EXPECT_EQ(left(limiter, "wide", "everybody"), 1'000'000);
}

TEST_F(BudgetOnACluster, SettlesATokenOfSeveralSlotsOnce) {
  BudgetLimiter limiter{client_, config()};
  BudgetReservation reservation = limiter.reserve({{"wide", "user", 500}, {"wide", "everybody", 500}});
  ASSERT_TRUE(reservation);
  const std::string token = reservation.token();
  limiter.adopt(token).settle({200, 200});
  reservation.cancel();
  EXPECT_EQ(left(limiter, "wide"), 999'800);
  EXPECT_EQ(left(limiter, "wide", "everybody"), 999'800);
}

}  // namespace
}  // namespace tollgate
