// The memory of an active user in Redis: one small counter, for any number of requests. Measured, and printed.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;

class RedisMemory : public ::testing::Test {
 protected:
  [[nodiscard]] RedisRateLimiter limiter(Admission admission) const {
    return RedisRateLimiter{
        client_, {.max_tokens_per_minute = 1'000'000, .key_prefix = "p", .admission = admission, .clock = clock_}};
  }
  [[nodiscard]] std::int64_t bytes_of(const std::string& key) const {
    return server_.command({"MEMORY", "USAGE", key}).to_integer().value_or(0);
  }
  [[nodiscard]] std::int64_t keys() const { return server_.command({"DBSIZE"}).to_integer().value_or(-1); }
  void let_posts_arrive() { ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s)); }

  testing::RedisServer server_;
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<RedisClient> client_ = connect(server_.url(), {.command_timeout = 5s});
};

TEST_F(RedisMemory, PerUserIsThatOfTheBareCounterWhateverWasAsked) {
  server_.command({"SET", "b:user_42:29453760", "1", "EX", "60"});
  const std::int64_t bare = bytes_of("b:user_42:29453760");
  const std::string counter = "p:user_42:29453760";
  for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
    RedisRateLimiter limiter = this->limiter(admission);
    ASSERT_TRUE(limiter.check_and_consume("user_42", 1));
    EXPECT_EQ(bytes_of(counter), bare);

    for (int i = 0; i < 500; ++i) {
      Reservation reservation = limiter.reserve("user_42", 1'500);
      ASSERT_TRUE(reservation.allowed());
      ASSERT_TRUE(reservation.add(300));
      reservation.settle(1'600);
      limiter.record("user_42", 100);
      ASSERT_FALSE(limiter.check_and_consume("user_42", 999'999));
    }
    let_posts_arrive();
    EXPECT_EQ(server_.command({"GET", counter}).to_integer(), 1 + 500 * 1'700);
    EXPECT_EQ(bytes_of(counter), bare);
    EXPECT_EQ(keys(), 2);
    std::cout << "a counter takes " << bytes_of(counter) << " bytes, the bare key " << bare << '\n';
    limiter.reset("user_42");
  }
}

TEST_F(RedisMemory, PerOperationIdIsOneSmallRecord) {
  const std::string id = "c0ffee00-0000-4000-8000-000000000001";
  Reservation reservation = limiter(Admission::kAtomic).reserve("user_42", 10, {.operation_id = id});
  EXPECT_EQ(keys(), 2);
  reservation.settle(5);
  let_posts_arrive();
  EXPECT_EQ(keys(), 3);
  const std::int64_t charge = bytes_of("p:user_42:charge:" + id + ":36:");
  const std::int64_t adjust = bytes_of("p:user_42:adjust:" + id + ":36:");
  EXPECT_GT(charge, 0);
  EXPECT_GT(adjust, 0);
  EXPECT_LE(charge, 200);
  EXPECT_LE(adjust, 200);
  std::cout << "the record of a charge takes " << charge << " bytes, that of a settlement " << adjust << '\n';
}

}  // namespace
}  // namespace tollgate
