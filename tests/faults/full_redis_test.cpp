// A Redis at its maxmemory refuses to give tokens back: the refund is sent again while its window counts, and executed
// once when there is memory again, without another call.

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class FullRedis : public FaultTest {
 protected:
  void fill() { ASSERT_EQ(server_.command({"CONFIG", "SET", "maxmemory", "1"}).text(), "OK"); }
  void empty() { ASSERT_EQ(server_.command({"CONFIG", "SET", "maxmemory", "0"}).text(), "OK"); }

  /// Whether the counter reaches `tokens` within 3 s and stays there.
  [[nodiscard]] bool settles_at(std::int64_t tokens) const {
    const auto end = std::chrono::steady_clock::now() + 3s;
    while (counter("u") != tokens) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(10ms);
    }
    std::this_thread::sleep_for(400ms);  // a refund that was executed twice would show
    return counter("u") == tokens;
  }

  RedisRateLimiter limiter_{connect(server_.url(), ClientOptions{}), config()};
};

TEST_F(FullRedis, ARefundIsSentAgainAndExecutedOnce) {
  ASSERT_TRUE(limiter_.check_and_consume("u", 2'000));
  Reservation reservation = limiter_.reserve("u", 1'000);
  fill();
  reservation.settle(200);
  std::this_thread::sleep_for(200ms);  // it is refused meanwhile
  EXPECT_EQ(counter("u"), 3'000);
  empty();
  EXPECT_TRUE(settles_at(2'200)) << counter("u");
  EXPECT_EQ(limiter_.undelivered().batches, 0U);
}

TEST_F(FullRedis, SeveralRefundsAreEachExecutedOnce) {
  std::vector<Reservation> reservations;
  for (int i = 0; i < 8; ++i) reservations.push_back(limiter_.reserve("u", 1'000));
  fill();
  for (Reservation& reservation : reservations) reservation.settle(100);
  std::this_thread::sleep_for(200ms);
  empty();
  EXPECT_TRUE(settles_at(800)) << counter("u");
  EXPECT_EQ(limiter_.undelivered().batches, 0U);
}

TEST_F(FullRedis, ARefundWhoseWindowHasEndedMeanwhileIsCounted) {
  Reservation reservation = limiter_.reserve("u", 1'000);
  fill();
  reservation.settle(200);
  clock_->advance(120s);
  EXPECT_TRUE(soon([&] { return limiter_.undelivered().tokens == 800; })) << limiter_.undelivered().tokens;
  empty();
}

}  // namespace
}  // namespace tollgate::tests
