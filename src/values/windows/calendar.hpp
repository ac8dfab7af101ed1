/// UTC months as numbers. The algorithms are those of https://howardhinnant.github.io/date_algorithms.html: years begin
/// in March, so that a leap day is their last. std::chrono's calendar has the same, but only for years up to 32767.
/// Thread safety: plain functions.
#pragma once

#include <cstdint>

#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {

/// From January of the year 0.
inline constexpr std::int64_t kMonthsBefore1970 = 23'640;

/// The month that holds this Unix time in ms, which is not negative: months since January 1970.
[[nodiscard]] constexpr std::int64_t month_of(std::int64_t ms) noexcept {
  const std::int64_t days = ms / 86'400'000 + 719'468;  // since 1 March of the year 0
  const std::int64_t era = days / 146'097;              // of 400 years
  std::int64_t day = days - era * 146'097;
  const std::int64_t year = (day - day / 1460 + day / 36'524 - day / 146'096) / 365;
  day -= 365 * year + year / 4 - year / 100;
  return (era * 400 + year) * 12 + (5 * day + 2) / 153 + 2 - kMonthsBefore1970;
}

/// The Unix time in ms at which a month begins; kLargest when it is more.
[[nodiscard]] constexpr std::int64_t start_of_month(std::int64_t month) noexcept {
  const std::int64_t since_march = month + kMonthsBefore1970 - 2;
  const std::int64_t year = since_march / 12;
  const std::int64_t days = 365 * year + year / 4 - year / 100 + year / 400;
  return multiply(days + (153 * (since_march - year * 12) + 2) / 5 - 719'468, 86'400'000);
}

}  // namespace tollgate::inline v0::windows
