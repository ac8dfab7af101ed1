/// How long to wait before the next attempt to connect: doubles from 25 ms to 1 s, of which a random half is taken off,
/// so that a fleet does not come back in step ("equal jitter"). Pure.
#pragma once

#include <algorithm>
#include <chrono>

namespace tollgate::inline v0 {

/// `failures` in a row, 1 or more; `random` in [0, 1).
[[nodiscard]] inline std::chrono::microseconds backoff_delay(int failures, double random) noexcept {
  constexpr std::chrono::microseconds kFirst{25'000};
  constexpr std::chrono::microseconds kLongest{1'000'000};
  const auto full = std::min(kFirst * (1 << std::clamp(failures - 1, 0, 10)), kLongest);
  return std::chrono::duration_cast<std::chrono::microseconds>(full * (1.0 - random / 2));
}

}  // namespace tollgate::inline v0
