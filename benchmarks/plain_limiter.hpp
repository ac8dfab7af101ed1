/// The reference that tollgate is measured against: the same decision in plain hiredis, key and all.
/// Thread safety: one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "integration/plain_client.hpp"

namespace tollgate::tests {

class PlainLimiter {
 public:
  explicit PlainLimiter(std::uint16_t port, long long limit = 1'000'000'000'000) : client_(port, limit) {}
  /// Owns the context, which must be connected.
  PlainLimiter(redisContext* context, long long limit) : client_(context, limit) {}

  bool check_and_consume(const std::string& user) { return client_.check_and_consume(key(user, minute_now()), 1); }

  /// One decision per user, all of them in one round trip (two where one is denied). Returns how many are allowed.
  std::size_t check_and_consume_all(std::span<const std::string* const> users) {
    const std::int64_t minute = minute_now();
    keys_.resize(users.size());
    for (std::size_t i = 0; i < users.size(); ++i) {
      keys_[i] = key(*users[i], minute);
      client_.append_charge(keys_[i], 1);
    }
    std::size_t allowed = 0;
    for (const std::string& key : keys_) {
      if (client_.read_charge()) {
        ++allowed;
      } else {
        client_.append_undo(key, 1);
      }
    }
    for (std::size_t i = allowed; i < users.size(); ++i) client_.read();
    return allowed;
  }

 private:
  static std::int64_t minute_now() {
    return std::chrono::floor<std::chrono::minutes>(std::chrono::system_clock::now()).time_since_epoch().count();
  }
  static std::string key(const std::string& user, std::int64_t minute) {
    return "ractogateway:ratelimit:" + user + ":" + std::to_string(minute);
  }

  PlainClient client_;
  std::vector<std::string> keys_;
};

}  // namespace tollgate::tests
