/// Fixed windows of one minute. Pure functions and values.
/// Thread safety: as any value.
#pragma once

#include <chrono>
#include <cstdint>

#include "tollgate/detail/window_id.hpp"

namespace tollgate::inline v0::decisions {

using detail::WindowId;

inline constexpr std::chrono::minutes kWindowLength{1};
inline constexpr std::chrono::seconds kCounterTtl{60};  ///< the reference's EXPIRE

/// How long the record of an operation id is kept.
inline constexpr std::chrono::seconds kOperationTtl{120};
/// How long after its window a shared reservation may charge an excess.
inline constexpr std::chrono::hours kSettlementLife{1};
/// How long the record of a settlement is kept: until no other holder of the reservation may charge an excess, also
/// where the hosts' clocks differ by a minute.
inline constexpr std::chrono::seconds kSettlementTtl = kSettlementLife + kOperationTtl;
/// The windows before the current one in which such a record may have been written.
inline constexpr std::int64_t kEarlierRecords = kOperationTtl / kWindowLength;

/// floor(unix seconds / 60), also before 1970.
[[nodiscard]] inline std::int64_t unix_minute(std::chrono::system_clock::time_point now) noexcept {
  return std::chrono::floor<std::chrono::minutes>(now).time_since_epoch().count();
}

/// The window that holds `now`.
[[nodiscard]] inline WindowId window_at(std::chrono::system_clock::time_point now) noexcept {
  return {unix_minute(now)};
}

/// Until the window that holds `now` ends, rounded up: 1 … 60'000 ms.
[[nodiscard]] inline std::chrono::milliseconds time_to_reset(std::chrono::system_clock::time_point now) noexcept {
  const auto end = std::chrono::floor<std::chrono::minutes>(now) + kWindowLength;
  return std::chrono::ceil<std::chrono::milliseconds>(end - now);
}

}  // namespace tollgate::inline v0::decisions
