/// The keys that the limiter reads and writes. A counter is `<prefix>:<user>:<unix_minute>`, byte for byte as the
/// reference writes it. Records of operations that are executed once have keys beside it. Pure functions and values.
/// Thread safety: as any value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "decisions/key_text.hpp"
#include "decisions/window.hpp"

namespace tollgate::inline v0::decisions {

/// A key of RedisRateLimiter. Parts longer than values/limits.hpp allows are cut, so check them first.
class Key {
 public:
  /// The counter of one user in one window.
  [[nodiscard]] static Key counter(std::string_view prefix, std::string_view user_id, WindowId window) noexcept {
    Key key{prefix, user_id};
    key.append(window.number);
    return key;
  }

  /// The record of one operation of one user, whatever the window: `<prefix>:<user>:<kind>:<id>:<length of id>:`. It
  /// ends in a colon, so it is never a counter; the length makes it readable from the right, so no two (user, id) share
  /// one. In a Cluster it lies in the counter's hash slot only where prefix or user hold a hash tag.
  [[nodiscard]] static Key operation(std::string_view prefix, std::string_view user_id, std::string_view kind,
                                     std::string_view operation_id) noexcept;

  /// The record of one operation on the counter of one window, in the hash slot of that counter whatever braces prefix,
  /// user and id hold. It starts as the counter does, and is neither a counter nor another operation's record.
  [[nodiscard]] static Key operation(std::string_view prefix, std::string_view user_id, WindowId window,
                                     std::string_view kind, std::string_view operation_id) noexcept;

  [[nodiscard]] std::string_view view() const noexcept { return text_.view(); }

 private:
  Key(std::string_view prefix, std::string_view user_id) noexcept {
    append(prefix);
    append(":");
    append(user_id);
    append(":");
  }

  void append(std::string_view part) noexcept { text_.append(part); }
  void append(std::int64_t number) noexcept { text_.append(number); }

  KeyText text_;
};

/// A SCAN pattern that matches every counter of the user; it may match keys of others too, so check each one
/// with is_counter_of. Glob characters in prefix and id are escaped.
[[nodiscard]] std::string counters_pattern(std::string_view prefix, std::string_view user_id);

/// Whether `key` is `<prefix>:<user_id>:<a window>`, and not a key of the user `a:b` when `user_id` is `a`.
[[nodiscard]] bool is_counter_of(std::string_view key, std::string_view prefix, std::string_view user_id) noexcept;

/// The window of a counter's key; nothing for another key.
[[nodiscard]] std::optional<WindowId> window_of_counter(std::string_view key) noexcept;

}  // namespace tollgate::inline v0::decisions
