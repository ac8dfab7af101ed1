// A reservation with several holders over `memory://`: its excess is charged once, however far apart they settle.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tollgate/redis_rate_limiter.hpp"
#include "unit/doors/store_client.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;

class SharedSettlement : public ::testing::Test {
 protected:
  /// Tokens used in the current minute.
  [[nodiscard]] std::int64_t used() { return 1'000 - limiter_.get_remaining("u"); }

  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<StoreClient> client_ = std::make_shared<StoreClient>(clock_);
  RedisRateLimiter limiter_{client_, {.max_tokens_per_minute = 1'000, .clock = clock_}};
};

TEST_F(SharedSettlement, ChargesItsExcessOnceWhenItsHoldersSettleUpToAnHourApart) {
  const std::string token = limiter_.reserve("u", 10).token();
  clock_->advance(90s);
  limiter_.adopt(token).settle(500);
  EXPECT_EQ(used(), 490);
  for (const auto later : {60s, 180s, 3'300s}) {
    clock_->advance(later);
    limiter_.adopt(token).settle(500);
    EXPECT_EQ(used(), 0) << later.count();
  }
  EXPECT_EQ(limiter_.undelivered().batches, 0U);
}

TEST_F(SharedSettlement, ChargesNoExcessAfterAnHourAndCountsItAsUndelivered) {
  const std::string token = limiter_.reserve("u", 10).token();
  clock_->advance(61min);
  limiter_.adopt(token).settle(500);
  EXPECT_EQ(used(), 0);
  EXPECT_EQ(limiter_.undelivered().batches, 1U);
  EXPECT_EQ(limiter_.undelivered().tokens, 490);
}

TEST_F(SharedSettlement, IsNotNeededToChargeTheExcessOfAReservationWithOneHolderHoweverLate) {
  Reservation reservation = limiter_.reserve("u", 10);
  clock_->advance(24h);
  reservation.settle(500);
  EXPECT_EQ(used(), 490);
}

}  // namespace
}  // namespace tollgate
