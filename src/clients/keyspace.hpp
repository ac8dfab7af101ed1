/// The part of Redis that a rate limiter needs, as a plain data structure: string keys with expiry, and hashes.
/// Time is passed in. Its replies are those of Redis 7, including the texts of errors.
/// Thread safety: none; MemoryClient puts a lock around it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

/// SET key value PX milliseconds
struct KeyWrite {
  std::string_view key;
  std::string value;
  std::int64_t milliseconds = 0;
};

class Keyspace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Holds at most `max_keys` keys that have not expired; a write that would exceed this is answered with Redis's OOM.
  explicit Keyspace(std::size_t max_keys) : max_keys_(max_keys) {}
  Keyspace(const Keyspace&) = delete;
  Keyspace& operator=(const Keyspace&) = delete;

  /// The time at which the following commands are executed.
  void set_time(Time now) noexcept { now_ = now; }

  Reply get(std::string_view key);
  Reply incr_by(std::string_view key, std::int64_t increment);
  Reply expire(std::string_view key, std::int64_t seconds);
  Reply ttl(std::string_view key);
  Reply pttl(std::string_view key);
  Reply unlink(std::string_view key);
  /// SET key value EX seconds
  Reply set(std::string_view key, std::string value, std::int64_t seconds);
  /// Each of `writes`, whose keys differ; or none, when there is no room for all of them or memory is short.
  Reply set_all(std::span<KeyWrite> writes);
  Reply hset(std::string_view key, std::string_view field, std::string value);
  Reply hget(std::string_view key, std::string_view field);
  /// Returns every match at once, with the final cursor "0". Patterns support `*`, `?` and `\`, not classes `[…]`.
  Reply scan(std::string_view pattern);

  /// Executes the command above that `command` names; an error for a script (see clients/script_twins.hpp).
  Reply execute(const Command& command);

  /// The number of stored keys, including expired ones that have not been removed yet.
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  using Fields = std::map<std::string, std::string, std::less<>>;
  struct Entry {
    std::variant<std::int64_t, std::string, std::unique_ptr<Fields>> value;  // a counter is stored as a number
    std::optional<Time> expires_at;

    [[nodiscard]] bool is_hash() const noexcept { return std::holds_alternative<std::unique_ptr<Fields>>(value); }
    [[nodiscard]] std::optional<std::int64_t> number() const;
    [[nodiscard]] std::string text() const;
  };
  struct Hash {
    using is_transparent = void;
    // Not noexcept, because then libstdc++ caches the hash of each key instead of computing it during a search.
    std::size_t operator()(std::string_view key) const { return std::hash<std::string_view>{}(key); }
  };
  using Entries = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;

  Entry* find(std::string_view key);
  Entry* find_or_make(std::string_view key);  // null when the store is full
  void make_room(std::size_t keys);
  void erase_found();
  void purge();

  Entries entries_;
  Entries::iterator found_last_ = entries_.end();  // the commands of one decision name the same key
  std::size_t max_keys_;
  std::size_t purge_at_ = 1024;
  Time now_{};
};

}  // namespace tollgate::inline v0
