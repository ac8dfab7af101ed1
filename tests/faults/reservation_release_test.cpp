// A reservation that is the last owner of its limiter: neither settle() nor its destructor waits for Redis, and what
// was posted before arrives once Redis goes on.

#include <optional>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class ReservationRelease : public FaultTest {
 protected:
  /// A reservation of 5000 tokens of user u whose limiter is gone.
  [[nodiscard]] Reservation last_owner() const {
    RedisRateLimiter limiter{connect(server_.url(), {.connect_timeout = 1s, .command_timeout = 1s}), config()};
    limiter.record("other", 1);  // Redis has the script
    return limiter.reserve("u", 5'000);
  }
  template <class Call>
  static std::chrono::nanoseconds duration_of(Call call) {
    const auto start = std::chrono::steady_clock::now();
    call();
    return std::chrono::steady_clock::now() - start;
  }

  static constexpr auto kAtOnce = 200ms;  // the command timeout is 1 s
};

TEST_F(ReservationRelease, SettleDoesNotWaitForAStoppedRedisAndArrivesLater) {
  Reservation reservation = last_owner();
  server_.pause();
  EXPECT_LT(duration_of([&] { reservation.settle(10); }), kAtOnce);
  server_.resume();
  EXPECT_TRUE(soon([&] { return counter("u") == 10; })) << counter("u");
}

TEST_F(ReservationRelease, CancelDoesNotWaitForAStoppedRedisAndArrivesLater) {
  Reservation reservation = last_owner();
  server_.pause();
  EXPECT_LT(duration_of([&] { reservation.cancel(); }), kAtOnce);
  server_.resume();
  EXPECT_TRUE(soon([&] { return counter("u") == 0; })) << counter("u");
}

TEST_F(ReservationRelease, ADestructorDoesNotWaitForThePostsOfAnotherReservation) {
  std::optional<Reservation> last;
  std::optional<Reservation> settled;
  {
    RedisRateLimiter limiter{connect(server_.url(), {.connect_timeout = 1s, .command_timeout = 1s}), config()};
    limiter.record("other", 1);
    last.emplace(limiter.reserve("u", 300));
    settled.emplace(limiter.reserve("u", 5'000));
  }
  server_.pause();
  settled->settle(10);
  settled.reset();
  EXPECT_LT(duration_of([&] { last.reset(); }), kAtOnce);
  server_.resume();
  EXPECT_TRUE(soon([&] { return counter("u") == 310; })) << counter("u");
}

TEST_F(ReservationRelease, AssigningOverTheLastOwnerDoesNotWaitEither) {
  RedisRateLimiter other{"memory://", config()};
  Reservation replacement = other.reserve("u", 1);
  Reservation last = other.reserve("u", 1);
  {
    RedisRateLimiter limiter{connect(server_.url(), {.connect_timeout = 1s, .command_timeout = 1s}), config()};
    limiter.record("other", 1);
    last = limiter.reserve("u", 300);
    Reservation settled = limiter.reserve("u", 5'000);
    server_.pause();
    settled.settle(10);
  }
  EXPECT_LT(duration_of([&] { last = std::move(replacement); }), kAtOnce);
  last.cancel();
  server_.resume();
  EXPECT_TRUE(soon([&] { return counter("u") == 310; })) << counter("u");
}

}  // namespace
}  // namespace tollgate::tests
