/// Fixed windows of one minute and the keys that hold their counters: `<prefix>:<user>:<unix_minute>`.
/// Pure functions and values.
/// Thread safety: as any value.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tollgate::inline v0::decisions {

inline constexpr std::chrono::minutes kWindowLength{1};
inline constexpr std::chrono::seconds kCounterTtl{60};  ///< the reference's EXPIRE
inline constexpr std::size_t kMaxUserIdBytes = 512;
inline constexpr std::size_t kMaxKeyPrefixBytes = 512;
inline constexpr std::size_t kMaxOperationIdBytes = 128;

/// floor(unix seconds / 60), also before 1970.
[[nodiscard]] inline std::int64_t unix_minute(std::chrono::system_clock::time_point now) noexcept {
  return std::chrono::floor<std::chrono::minutes>(now).time_since_epoch().count();
}

/// Until the window that holds `now` ends, rounded up: 1 … 60'000 ms.
[[nodiscard]] inline std::chrono::milliseconds time_to_reset(std::chrono::system_clock::time_point now) noexcept {
  const auto end = std::chrono::floor<std::chrono::minutes>(now) + kWindowLength;
  return std::chrono::ceil<std::chrono::milliseconds>(end - now);
}

/// A key, built without the heap. Longer parts than the limits above are cut, so check them first.
class Key {
 public:
  /// The counter of one user in one minute.
  [[nodiscard]] static Key counter(std::string_view prefix, std::string_view user_id, std::int64_t minute) noexcept {
    Key key{prefix, user_id};
    key.append(minute);
    return key;
  }

  /// The record of one operation of one user: `<prefix>:<user>:<kind>:<id>:<length of id>:`. It ends in a colon, so it
  /// is never a counter; the length makes it readable from the right, so no two (user, id) share one.
  [[nodiscard]] static Key operation(std::string_view prefix, std::string_view user_id, std::string_view kind,
                                     std::string_view operation_id) noexcept {
    Key key{prefix, user_id};
    key.append(kind);
    key.append(":");
    key.append(operation_id);
    key.append(":");
    key.append(static_cast<std::int64_t>(operation_id.size()));
    key.append(":");
    return key;
  }

  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  Key(std::string_view prefix, std::string_view user_id) noexcept {
    append(prefix);
    append(":");
    append(user_id);
    append(":");
  }

  void append(std::string_view part) noexcept {
    const std::size_t count = std::min(part.size(), text_.size() - size_);
    std::copy_n(part.data(), count, text_.data() + size_);
    size_ += count;
  }

  void append(std::int64_t number) noexcept {
    size_ = static_cast<std::size_t>(std::to_chars(text_.data() + size_, text_.data() + text_.size(), number).ptr -
                                     text_.data());
  }

  // two colons and an int64 behind prefix and user, or a record's kind, id and length
  std::array<char, kMaxKeyPrefixBytes + kMaxUserIdBytes + kMaxOperationIdBytes + 64> text_;
  std::size_t size_ = 0;
};

/// A SCAN pattern that matches every counter of the user; it may match keys of others too, so check each one
/// with is_counter_of. Glob characters in prefix and id are escaped.
[[nodiscard]] inline std::string counters_pattern(std::string_view prefix, std::string_view user_id) {
  std::string pattern;
  const auto append_escaped = [&pattern](std::string_view text) {
    for (const char character : text) {
      if (std::string_view{R"(*?[]\)"}.find(character) != std::string_view::npos) pattern += '\\';
      pattern += character;
    }
  };
  append_escaped(prefix);
  pattern += ':';
  append_escaped(user_id);
  pattern += ":*";
  return pattern;
}

/// Whether `key` is `<prefix>:<user_id>:<a minute>`, and so no key of the users `a:b` when asked for `a`.
[[nodiscard]] inline bool is_counter_of(std::string_view key, std::string_view prefix,
                                        std::string_view user_id) noexcept {
  const auto take = [&key](std::string_view part) {
    if (!key.starts_with(part)) return false;
    key.remove_prefix(part.size());
    return true;
  };
  if (!take(prefix) || !take(":") || !take(user_id) || !take(":")) return false;
  std::int64_t minute = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), minute);
  return error == std::errc{} && end == key.data() + key.size();
}

}  // namespace tollgate::inline v0::decisions
