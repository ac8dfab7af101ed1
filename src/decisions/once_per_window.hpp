/// Which subjects an event has been reported for, so that it is reported once until their windows have ended. Memory is
/// bounded: a subject whose entry another one takes may be reported once more.
///
/// Pure: time is passed in. Thread safety: none; the limiter puts a lock around it.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace tollgate::inline v0::decisions {

class OncePerWindow {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `places`: 1 or more.
  explicit OncePerWindow(std::size_t places) : places_(places) {}

  /// Whether this is the first call with `hash` since the `end` that an earlier call gave.
  [[nodiscard]] bool is_first(std::size_t hash, Time now, Time end) {
    Place& place = places_[hash % places_.size()];
    const bool is_first = place.hash != hash || now >= place.end;
    if (is_first) place = {hash, end};
    return is_first;
  }

 private:
  struct Place {
    std::size_t hash = 0;
    Time end = Time::min();
  };

  std::vector<Place> places_;
};

}  // namespace tollgate::inline v0::decisions
