/// The fixture of the fault tests on a Redis Cluster: numbered users, their keys, and a manual clock.
/// Thread safety: one test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "decisions/keys.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_cluster.hpp"

namespace tollgate::tests {

using namespace std::chrono_literals;

inline std::string user_number(int number) { return "user_" + std::to_string(number); }

class ClusterTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string key(int user) const {
    return std::string{
        decisions::Key::counter(RateLimitConfig{}.key_prefix, user_number(user), decisions::window_at(clock_->now()))
            .view()};
  }
  [[nodiscard]] std::int64_t counter(const testing::RedisServer& node, int user) const {
    return node.command({"GET", key(user)}).to_integer().value_or(0);
  }
  [[nodiscard]] std::int64_t counter(const testing::RedisCluster& cluster, int user) const {
    return counter(cluster.node(cluster.owner_of(key(user))), user);
  }
  /// Which of `primaries` nodes holds the user's slot while no slot has moved.
  [[nodiscard]] std::size_t first_owner(int user, std::size_t primaries) const {
    const std::size_t slot = testing::RedisCluster::slot_of(key(user));
    std::size_t node = 0;
    while (16384 * (node + 1) / primaries <= slot) ++node;
    return node;
  }
  /// The first user from `user` on whose slot `node` holds, as first_owner() says.
  [[nodiscard]] int user_on(std::size_t node, std::size_t primaries, int user = 0) const {
    while (first_owner(user, primaries) != node) ++user;
    return user;
  }

  /// Whether `holds` becomes true within 15 s.
  [[nodiscard]] static bool soon(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 15s; std::chrono::steady_clock::now() < end;) {
      if (holds()) return true;
      std::this_thread::sleep_for(5ms);
    }
    return holds();
  }

  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
};

}  // namespace tollgate::tests
