/// Names one window of a limit, such as one minute. Windows of a kind are numbered in the order of time.
/// Thread safety: a plain value.
#pragma once

#include <compare>
#include <cstdint>

namespace tollgate::inline v0::detail {

struct WindowId {
  std::int64_t number = 0;  ///< of a window of one minute: its Unix minute, the last part of its counter's key

  friend constexpr auto operator<=>(const WindowId&, const WindowId&) = default;  // NOLINT(modernize-use-nullptr)
};

}  // namespace tollgate::inline v0::detail
