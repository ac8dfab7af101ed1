/// The window in which a process counts its local share of a limit, by this host's clock. Pure.
/// Thread safety: a plain function.
#pragma once

#include <chrono>

#include "tollgate/detail/window_id.hpp"
#include "tollgate/window.hpp"

namespace tollgate::inline v0::decisions {

/// A fixed window of the limit's length, or the month in UTC.
[[nodiscard]] inline detail::WindowId share_window(const Window& window,
                                                   std::chrono::system_clock::time_point now) noexcept {
  if (window.kind() == Window::Kind::kUtcMonth) {
    const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(now)};
    constexpr int kMonthsPerYear = 12;
    return {int{date.year()} * kMonthsPerYear + static_cast<int>(unsigned{date.month()})};
  }
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  const auto length = window.length().count();
  return {(seconds - (seconds % length + length) % length) / length};
}

}  // namespace tollgate::inline v0::decisions
