/// Arithmetic of windows on integers of 0 … 2^53-1, which Lua's doubles hold exactly. Results beyond are 2^53-1.
/// Thread safety: plain functions.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tollgate::inline v0::windows {

inline constexpr std::int64_t kLargest = (std::int64_t{1} << 53U) - 1;

/// For a and b of 0 … kLargest.
[[nodiscard]] constexpr std::int64_t add(std::int64_t a, std::int64_t b) noexcept { return std::min(a + b, kLargest); }

/// For a and b of 0 … kLargest.
[[nodiscard]] constexpr std::int64_t multiply(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kLargest : std::min(product, kLargest);
}

}  // namespace tollgate::inline v0::windows
