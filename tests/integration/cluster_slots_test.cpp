// A redis-server in Cluster mode that holds all slots, as some managed services are set up: every script's keys must
// lie in one slot.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "decisions/keys.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "values/hash_slot.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;

/// For the Cluster's bus, which is the server's port + 10000 otherwise: too high for most free ports.
std::string free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(socket);
  if (!bound) throw std::runtime_error("no free port");
  return std::to_string(ntohs(address.sin_port));
}

class ClusterSlots : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = std::make_unique<testing::RedisServer>(
        std::vector<std::string>{"--cluster-enabled", "yes", "--cluster-port", free_port()});
    ASSERT_EQ(server_->command({"CLUSTER", "ADDSLOTSRANGE", "0", "16383"}).text(), "OK");
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (server_->command({"CLUSTER", "INFO"}).text().find("cluster_state:ok") == std::string::npos) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      std::this_thread::sleep_for(10ms);
    }
  }
  static void TearDownTestSuite() { server_.reset(); }
  void TearDown() override { server_->command({"FLUSHALL"}); }

  [[nodiscard]] RateLimitConfig config(FailurePolicy policy = FailurePolicy::kThrow) const {
    return {.max_tokens_per_minute = 1000, .admission = Admission::kAtomic, .on_failure = policy, .clock = clock_};
  }
  void let_posts_arrive() { ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s)); }

  static inline std::unique_ptr<testing::RedisServer> server_;
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<RedisClient> client_ = connect(server_->url(), {.connect_timeout = 5s, .command_timeout = 5s});
};

TEST_F(ClusterSlots, AreThoseThatRedisComputes) {
  for (const std::string& key : {std::string{"foo"}, std::string{"{a}b"}, std::string{"a{}{b}"}, std::string{"a{b"},
                                 std::string("\0\xff}", 3)}) {
    EXPECT_EQ(server_->command({"CLUSTER", "KEYSLOT", key}).to_integer(), hash_slot(key)) << key;
  }
}

TEST_F(ClusterSlots, LetAReservationBeSettledByTheProcessThatAdoptsIt) {
  for (const char* const user : {"u", "a{b", "a}b", "{}", "{tag}"}) {
    RedisRateLimiter limiter{client_, config()};
    Reservation reservation = limiter.reserve(user, 800);
    Reservation adopted = limiter.adopt(reservation.token());
    adopted.settle(10);
    let_posts_arrive();
    EXPECT_EQ(limiter.get_remaining(user), 990) << user;
    reservation.settle(10);
    let_posts_arrive();
    EXPECT_EQ(limiter.get_remaining(user), 990) << user;
    EXPECT_EQ(limiter.undelivered().batches, 0U) << user;
  }
}

TEST_F(ClusterSlots, AdmitOneOfFiveOperationsForTheWholeBudget) {
  for (const char* const user : {"u", "a{b", "{tag}"}) {
    RedisRateLimiter limiter{client_, config(FailurePolicy::kAllow)};
    int passed = 0;
    for (const char* const id : {"1", "2", "}", "{", "5"}) {
      if (limiter.consume(user, 1000, {.operation_id = id}).allowed) ++passed;
    }
    EXPECT_EQ(passed, 1) << user;
    EXPECT_TRUE(limiter.consume(user, 1000, {.operation_id = "1"}).allowed) << user;  // a repetition
  }
}

TEST_F(ClusterSlots, LetExcessBeChargedOnceToALaterMinute) {
  RedisRateLimiter limiter{client_, config()};
  const std::string token = limiter.reserve("u", 100).token();
  clock_->advance(60s);
  limiter.adopt(token).settle(150);
  let_posts_arrive();
  limiter.adopt(token).settle(150);
  let_posts_arrive();
  EXPECT_EQ(limiter.get_remaining("u"), 950);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(ClusterSlots, LetAnOperationOfATaggedUserBeRepeatedAfterAnotherUsersRecordWasMoved) {
  RedisRateLimiter limiter{client_, config()};
  for (const char* const user : {"{tag}", "untagged", "{tag}", "untagged"}) {
    EXPECT_TRUE(limiter.consume(user, 100, {.operation_id = "o"}).allowed);
    EXPECT_EQ(limiter.get_remaining(user), 900) << user;
  }
}

TEST_F(ClusterSlots, LetHoldersWhoChargedMoreInALaterMinuteSettleOnce) {
  RedisRateLimiter limiter{client_, config()};
  Reservation one = limiter.reserve("u", 100);
  Reservation other = limiter.adopt(one.token());
  clock_->advance(60s);
  EXPECT_TRUE(one.add(100));
  one.settle(250);
  let_posts_arrive();
  EXPECT_EQ(limiter.get_remaining("u"), 850);
  other.settle(250);
  let_posts_arrive();
  EXPECT_EQ(limiter.get_remaining("u"), 850);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

TEST_F(ClusterSlots, LetRecordsBeMadeOnce) {
  RedisRateLimiter limiter{client_, config()};
  for (int i = 0; i < 2; ++i) limiter.record("u", 100, {.operation_id = "r"});
  EXPECT_EQ(limiter.get_remaining("u"), 900);
}

}  // namespace
}  // namespace tollgate
