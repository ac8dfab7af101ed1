/// The interface through which a limiter reads the time. Tests pass tollgate::testing::ManualClock.
/// Thread safety: every implementation is read by many threads at once.
#pragma once

#include <chrono>
#include <memory>

#include "tollgate/detail/export.hpp"

namespace tollgate::inline v0 {

class TOLLGATE_EXPORT Clock {
 public:
  virtual ~Clock() = default;

  /// Unix time: picks the minute that a request is charged to. May jump, also backwards.
  [[nodiscard]] virtual std::chrono::system_clock::time_point now() const noexcept = 0;

  /// Monotonic: measures how long a remembered denial, a key of `memory://` or a fallback lasts. It may advance in
  /// steps of some milliseconds, because none of these needs more precision.
  [[nodiscard]] virtual std::chrono::steady_clock::time_point steady_now() const noexcept = 0;
};

/// The operating system's clocks; one object for the whole process. Its steady_now() is that of the last timer tick, at
/// most 10 ms ago: it costs a quarter of a precise one.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<const Clock> system_clock();

}  // namespace tollgate::inline v0
