/// The fixtures of the tests of RedisRateLimiter, one for each group of them.
/// Thread safety: one thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "tollgate/redis_rate_limiter.hpp"
#include "unit/doors/limiter_test.hpp"

namespace tollgate {

class RedisRateLimiterTest : public LimiterTest {
 protected:
  /// The client answers the next execute() with `answer`.
  void expect_failure(BatchResult answer) {
    EXPECT_CALL(*client_, execute).WillOnce(::testing::Return(std::move(answer)));
  }
};

using LimiterDecides = RedisRateLimiterTest;
using LimiterArguments = RedisRateLimiterTest;
using LimiterUnderFailure = RedisRateLimiterTest;
using LimiterRemembers = RedisRateLimiterTest;
using AtomicLimiter = RedisRateLimiterTest;
class LateCharges : public RedisRateLimiterTest {
 protected:
  /// Expects one charge whose reply does not come; keeps its batch and its handler for the late reply.
  void expect_charge_that_is_lost(Errc code) {
    EXPECT_CALL(*client_, execute)
        .WillOnce(::testing::DoAll(::testing::SaveArg<0>(&batch_), ::testing::SaveArg<2>(&late_),
                                   ::testing::Return(testing::failure(code, true))));
  }

  CommandBatch batch_;
  std::shared_ptr<ReplyHandler> late_;
};

}  // namespace tollgate
