/// The fixtures of the tests of Reservation.
/// Thread safety: one thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>

#include "tollgate/reservation.hpp"
#include "unit/doors/limiter_test.hpp"

namespace tollgate {

class ReservationTest : public LimiterTest {
 protected:
  /// Reserves `tokens` of a budget of which nothing is used.
  [[nodiscard]] Reservation reserved(std::int64_t tokens) { return reserved(tokens, config()); }
  [[nodiscard]] Reservation reserved(std::int64_t tokens, const RateLimitConfig& config) {
    expect_charge(tokens, 0);
    return limiter(config).reserve("user", tokens);
  }
};

}  // namespace tollgate
