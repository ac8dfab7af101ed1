/// An estimate of the network's share of a round trip, which decides when requests are written: on a slow network at
/// once, on a fast one together with the next ones. Pure: time is passed in.
/// Thread safety: none; the Pipeline's lock guards it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace tollgate::inline v0 {

class RoundTrip {
 public:
  using Duration = std::chrono::nanoseconds;

  /// A network with a longer round trip is slow: no request waits there for replies to others.
  static constexpr std::chrono::microseconds kSlowNetwork{150};
  /// What Redis needs for each exchange that was in flight.
  static constexpr std::chrono::microseconds kServicePerExchange{5};

  /// A reply came `elapsed` after its request was sent, which was number `place` in flight (1 = the only one). The
  /// estimate falls at once and rises slowly, because any round trip may have waited for a CPU.
  void note(Duration elapsed, std::size_t place) noexcept {
    const Duration service = kServicePerExchange * static_cast<std::int64_t>(place);
    const Duration sample = std::max(elapsed - service, Duration::zero());
    estimate_ = sample < estimate_ ? sample : estimate_ + (sample - estimate_) / 16;
  }
  void reset() noexcept { estimate_ = {}; }

  [[nodiscard]] bool is_slow() const noexcept { return estimate_ > kSlowNetwork; }

 private:
  Duration estimate_{0};
};

}  // namespace tollgate::inline v0
