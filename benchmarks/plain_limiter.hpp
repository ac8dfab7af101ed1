/// The reference that tollgate is measured against: the same decision in plain hiredis, key and all.
/// Thread safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "integration/plain_client.hpp"

namespace tollgate::tests {

class PlainLimiter {
 public:
  explicit PlainLimiter(std::uint16_t port, long long limit = 1'000'000'000'000) : client_(port, limit) {}

  bool check_and_consume(const std::string& user) {
    const auto minute = std::chrono::floor<std::chrono::minutes>(std::chrono::system_clock::now()).time_since_epoch();
    return client_.check_and_consume("ractogateway:ratelimit:" + user + ":" + std::to_string(minute.count()), 1);
  }

 private:
  PlainClient client_;
};

}  // namespace tollgate::tests
