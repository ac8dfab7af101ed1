/// What one process remembers of its denials, so that a request that cannot fit neither costs a round trip nor
/// inflates the shared counter. It only ever denies; what it forgets costs a round trip, nothing else.
///
/// Two things are remembered per user and window:
/// - the smallest request that was denied by a charge. Its reading may have been inflated by somebody's charge that was
///   about to be undone, so it denies nothing: the next request that large looks first (GET) instead of charging.
/// - how little was left when somebody looked. A request that needs more is denied, for as long as the memory lasts.
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
  enum class Advice : std::uint8_t { kCharge, kLook, kDeny };

  /// An id with its hash, for callers who need that too: it is computed once.
  struct User {
    User(const std::convertible_to<std::string_view> auto& user_id) noexcept  // NOLINT(google-explicit-constructor)
        : id(user_id), hash(std::hash<std::string_view>{}(id)) {}

    std::string_view id;
    std::size_t hash;
  };

  /// Remembers at most `capacity` (1 or more) users: two whose ids share a place push each other out.
  /// `duration` is counted from the moment at which Redis was asked.
  DenyMemory(std::chrono::milliseconds duration, std::size_t capacity) : duration_(duration), entries_(capacity) {}

  [[nodiscard]] Advice advise(const User& user, WindowId window, std::int64_t tokens, Time now) const {
    const Entry& entry = place(user);
    if (!entry.is(user.id, window)) return Advice::kCharge;
    if (now < entry.left_until && tokens > entry.left) return Advice::kDeny;
    return tokens >= entry.look_from ? Advice::kLook : Advice::kCharge;
  }

  /// A charge of `tokens` was denied, on a reading that may have been inflated.
  void remember_denied(const User& user, WindowId window, std::int64_t tokens) {
    Entry& entry = claim(user, window);
    entry.look_from = std::min(entry.look_from, tokens);
  }

  /// A charge of `tokens` was admitted: the denial of as many is out of date.
  void remember_admitted(const User& user, WindowId window, std::int64_t tokens) {
    Entry& entry = place(user);
    if (entry.is(user.id, window) && tokens >= entry.look_from) entry.look_from = kNever;
  }

  /// `left` tokens were seen to be left by somebody who charged nothing and asked at `asked_at`.
  void remember_left(const User& user, WindowId window, std::int64_t left, Time asked_at) {
    Entry& entry = claim(user, window);
    entry.left = left;
    entry.left_until = asked_at + duration_;
  }

  void forget(const User& user) {
    Entry& entry = place(user);
    if (entry.user_id == user.id) entry = Entry{};
  }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Entry {
    std::string user_id;  // empty = free: no user id is
    WindowId window;
    std::int64_t look_from = kNever;
    std::int64_t left = 0;
    Time left_until = Time::min();

    [[nodiscard]] bool is(std::string_view id, WindowId at) const { return window == at && user_id == id; }
  };

  [[nodiscard]] const Entry& place(const User& user) const { return entries_[user.hash % entries_.size()]; }
  [[nodiscard]] Entry& place(const User& user) { return entries_[user.hash % entries_.size()]; }

  Entry& claim(const User& user, WindowId window) {
    Entry& entry = place(user);
    if (!entry.is(user.id, window)) {
      entry.user_id.assign(user.id);  // keeps its room
      entry.window = window;
      entry.look_from = kNever;
      entry.left_until = Time::min();
    }
    return entry;
  }

  std::chrono::milliseconds duration_;
  std::vector<Entry> entries_;
};

}  // namespace tollgate::inline v0::decisions
