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
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace tollgate::inline v0::algorithm {

class DenyMemory {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Advice : std::uint8_t { kCharge, kLook, kDeny };

  /// Remembers at most `capacity` (1 or more) users: two whose ids share a place push each other out.
  /// `duration` is counted from the moment at which Redis was asked.
  DenyMemory(std::chrono::milliseconds duration, std::size_t capacity) : duration_(duration), entries_(capacity) {}

  [[nodiscard]] Advice advise(std::string_view user_id, std::int64_t minute, std::int64_t tokens, Time now) const {
    const Entry& entry = place(user_id);
    if (!entry.is(user_id, minute)) return Advice::kCharge;
    if (now < entry.left_until && tokens > entry.left) return Advice::kDeny;
    return tokens >= entry.look_from ? Advice::kLook : Advice::kCharge;
  }

  /// A charge of `tokens` was denied, on a reading that may have been inflated.
  void remember_denied(std::string_view user_id, std::int64_t minute, std::int64_t tokens) {
    Entry& entry = claim(user_id, minute);
    entry.look_from = std::min(entry.look_from, tokens);
  }

  /// A charge of `tokens` was admitted: the denial of as many is out of date.
  void remember_admitted(std::string_view user_id, std::int64_t minute, std::int64_t tokens) {
    Entry& entry = place(user_id);
    if (entry.is(user_id, minute) && tokens >= entry.look_from) entry.look_from = kNever;
  }

  /// `left` tokens were seen to be left by somebody who charged nothing and asked at `asked_at`.
  void remember_left(std::string_view user_id, std::int64_t minute, std::int64_t left, Time asked_at) {
    Entry& entry = claim(user_id, minute);
    entry.left = left;
    entry.left_until = asked_at + duration_;
  }

  void forget(std::string_view user_id) {
    Entry& entry = place(user_id);
    if (entry.user_id == user_id) entry = Entry{};
  }

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Entry {
    std::string user_id;  // empty = free: no user id is
    std::int64_t minute = 0;
    std::int64_t look_from = kNever;
    std::int64_t left = 0;
    Time left_until = Time::min();

    [[nodiscard]] bool is(std::string_view id, std::int64_t at) const { return minute == at && user_id == id; }
  };

  [[nodiscard]] std::size_t index(std::string_view user_id) const {
    return std::hash<std::string_view>{}(user_id) % entries_.size();
  }
  [[nodiscard]] const Entry& place(std::string_view user_id) const { return entries_[index(user_id)]; }
  [[nodiscard]] Entry& place(std::string_view user_id) { return entries_[index(user_id)]; }

  Entry& claim(std::string_view user_id, std::int64_t minute) {
    Entry& entry = place(user_id);
    if (!entry.is(user_id, minute)) {
      entry.user_id.assign(user_id);  // keeps its room
      entry.minute = minute;
      entry.look_from = kNever;
      entry.left_until = Time::min();
    }
    return entry;
  }

  std::chrono::milliseconds duration_;
  std::vector<Entry> entries_;
};

}  // namespace tollgate::inline v0::algorithm
