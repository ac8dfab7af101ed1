/// An estimate of the network latency of a round trip, which decides when requests are sent: on a slow network at once,
/// on a fast one together with later ones. Pure: time is passed in.
/// Thread safety: none; the Pipeline's lock guards it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace tollgate::inline v0 {

class RoundTrip {
 public:
  using Duration = std::chrono::nanoseconds;

  /// A network with a longer round trip is slow: there, no request waits for the replies to others. `scripts/thresholds
  /// slow-network` compares it with no such limit, over a proxy that delays.
  static constexpr std::chrono::microseconds kSlowNetwork{150};
  /// The time that Redis needs for each exchange in flight. Without it the round trip grows with the queue, and the
  /// network would count as slow under load: `scripts/thresholds service-time`.
  static constexpr std::chrono::microseconds kServicePerExchange{5};

  /// Notes that a reply came `elapsed` after its request was sent as number `place` in flight (1 = the only one). The
  /// estimate falls at once and rises slowly, because any round trip may include a wait for a CPU.
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
