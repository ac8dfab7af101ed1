/// The part of Redis that a rate limiter needs, as a plain data structure: string keys with expiry, in memory.
/// Time is passed in. It answers what Redis 7 answers, error texts included.
/// Thread safety: none; MemoryClient puts a lock around it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tollgate/redis/command_batch.hpp"
#include "tollgate/redis/reply.hpp"

namespace tollgate::inline v0 {

class Keyspace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Holds at most `max_keys` living keys; a write that would make one more is answered with Redis's OOM error.
  explicit Keyspace(std::size_t max_keys) : max_keys_(max_keys) {}

  /// The time at which the following commands are executed.
  void set_time(Time now) noexcept { now_ = now; }

  Reply get(std::string_view key);
  Reply incr_by(std::string_view key, std::int64_t increment);
  Reply expire(std::string_view key, std::int64_t seconds);
  Reply ttl(std::string_view key);
  Reply unlink(std::string_view key);
  /// SET key value EX seconds
  Reply set(std::string_view key, std::string value, std::int64_t seconds);
  /// Every match at once, with the final cursor "0". The pattern knows `*`, `?` and `\`, not the classes `[…]`.
  Reply scan(std::string_view pattern);

  /// Whichever of these, or a script's twin, `command` stands for.
  Reply execute(const Command& command);

  /// Living and expired keys that take up room.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    std::string value;
    std::optional<Time> expires_at;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const noexcept { return std::hash<std::string_view>{}(key); }
  };

  Entry* find(std::string_view key);
  Entry* find_or_make(std::string_view key);  // null when the store is full
  void purge();

  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
  std::size_t max_keys_;
  std::size_t purge_at_ = 1024;
  Time now_{};
};

}  // namespace tollgate::inline v0
