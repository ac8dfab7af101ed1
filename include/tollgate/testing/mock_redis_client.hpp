/// A GoogleMock of RedisClient, to test code that holds a RedisRateLimiter without a Redis:
///
///     auto client = std::make_shared<NiceMock<MockRedisClient>>();
///     tollgate::RedisRateLimiter limiter{client};
///     tollgate::testing::denies(*client);
///     EXPECT_EQ(handler.handle(request).status, 429);
///
/// `actions.hpp`, included here, declares admits, denies and fails; `replies.hpp` declares helpers that make single
/// replies. For a limiter that counts, use `memory://` instead.
/// Thread safety: as every GoogleMock object: calls from all threads, expectations set before them.
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <memory>

#include "tollgate/redis_client.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate::inline v0::testing {

/// Until its actions are set, every call fails with Errc::kProtocol. Only the functions below are mocked; preload(),
/// script_refusal() and post_at() do what RedisClient's do.
class MockRedisClient : public RedisClient {
 public:
  MockRedisClient() {
    ON_CALL(*this, execute).WillByDefault([](const auto&, auto, const auto&) { return unset(); });
    ON_CALL(*this, post).WillByDefault([this](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
      if (handler) handler->handle(*this, batch, unset());
    });
    ON_CALL(*this, drain).WillByDefault(::testing::Return(true));
  }

  MOCK_METHOD(BatchResult, execute,
              (const CommandBatch& batch, Deadline deadline, const std::shared_ptr<ReplyHandler>& late), (override));
  MOCK_METHOD(void, post, (CommandBatch batch, std::shared_ptr<ReplyHandler> handler), (override));
  MOCK_METHOD(bool, drain, (std::chrono::steady_clock::time_point deadline), (override));
  MOCK_METHOD(ClientStats, stats, (), (const, override));

 private:
  [[nodiscard]] static BatchResult unset() {
    return {{}, {Errc::kProtocol, false, "this MockRedisClient has no action for the call"}};
  }
};

}  // namespace tollgate::inline v0::testing

#include "tollgate/testing/actions.hpp"
