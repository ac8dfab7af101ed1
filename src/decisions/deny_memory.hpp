/// The denials that one process remembers, so that a request that cannot fit neither costs a round trip nor inflates
/// the shared counter. It never admits a request; an entry that is lost costs one round trip.
///
/// Two things are remembered per user and window:
/// - the smallest charge that was denied. The counter may have been inflated by another charge that was then undone, so
///   this denies nothing: the next request that large reads the counter (GET) before it charges.
/// - the tokens left when the counter was last read. A larger request is denied until `duration` has passed.
///
/// Pure: time is passed in. Thread safety: none; the limiter puts a lock around it.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/detail/window_id.hpp"

namespace tollgate::inline v0::decisions {

using detail::WindowId;

class DenyMemory {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Advice : std::uint8_t { kCharge, kPeek, kDeny };

  /// An id with its hash, which is computed once for the memory and its callers.
  struct User {
    User(const std::convertible_to<std::string_view> auto& user_id) noexcept  // NOLINT(google-explicit-constructor)
        : id(user_id), hash(std::hash<std::string_view>{}(id)) {}

    std::string_view id;
    std::size_t hash;
  };

  /// Remembers at most `capacity` (1 or more) users; users whose ids hash to the same entry replace each other.
  /// `duration` starts when the request was sent to Redis.
  DenyMemory(std::chrono::milliseconds duration, std::size_t capacity) : duration_(duration), entries_(capacity) {}

  [[nodiscard]] Advice advise(const User& user, WindowId window, std::int64_t tokens, Time now) const {
    const Entry& entry = place(user);
    if (!entry.is(user.id, window)) return Advice::kCharge;
    if (now < entry.left_until && tokens > entry.left) return Advice::kDeny;
    return tokens >= entry.peek_from ? Advice::kPeek : Advice::kCharge;
  }

  /// Notes that a charge of `tokens` was denied; the counter may have been inflated.
  void remember_denied(const User& user, WindowId window, std::int64_t tokens) {
    Entry& entry = entry_for(user, window);
    entry.peek_from = std::min(entry.peek_from, tokens);
  }

  /// Notes that a charge of `tokens` was admitted, which cancels the denial of as many.
  void remember_admitted(const User& user, WindowId window, std::int64_t tokens) {
    Entry& entry = place(user);
    if (entry.is(user.id, window) && tokens >= entry.peek_from) entry.peek_from = kNever;
  }

  /// Of the entry that a user has or would have; each forget() and forget_left() of it changes the version.
  [[nodiscard]] std::uint64_t version(const User& user) const { return place(user).version; }

  /// Notes that `left` tokens were left, as read by a request that was sent at `asked_at`, when the entry had
  /// `version`, and charged nothing. Ignored when the entry has another version: the tokens left may have been read
  /// before more were given back.
  void remember_left(const User& user, WindowId window, std::int64_t left, Time asked_at, std::uint64_t version) {
    if (place(user).version != version) return;
    Entry& entry = entry_for(user, window);
    entry.left = left;
    entry.left_until = asked_at + duration_;
  }

  /// Tokens were given back: more may be left than was read. Requests that were denied still peek first.
  void forget_left(const User& user) {
    Entry& entry = place(user);
    ++entry.version;
    if (entry.user_id == user.id) entry.left_until = Time::min();
  }

  void forget(const User& user) {
    forget_left(user);
    Entry& entry = place(user);
    if (entry.user_id == user.id) entry.peek_from = kNever;
  }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Entry {
    std::string user_id;  // empty = free; user ids are never empty
    WindowId window;
    std::int64_t peek_from = kNever;
    std::int64_t left = 0;
    Time left_until = Time::min();
    std::uint64_t version = 0;

    [[nodiscard]] bool is(std::string_view id, WindowId at) const { return window == at && user_id == id; }
  };

  [[nodiscard]] const Entry& place(const User& user) const { return entries_[user.hash % entries_.size()]; }
  [[nodiscard]] Entry& place(const User& user) { return entries_[user.hash % entries_.size()]; }

  Entry& entry_for(const User& user, WindowId window) {
    Entry& entry = place(user);
    if (!entry.is(user.id, window)) {
      entry.user_id.assign(user.id);  // keeps its capacity
      entry.window = window;
      entry.peek_from = kNever;
      entry.left_until = Time::min();
    }
    return entry;
  }

  std::chrono::milliseconds duration_;
  std::vector<Entry> entries_;
};

}  // namespace tollgate::inline v0::decisions
