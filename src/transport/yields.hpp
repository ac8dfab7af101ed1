/// Whether a thread that waits for replies yields its CPU for a while before it sleeps. Where the CPUs are busy with
/// our own threads it does: the reply comes within microseconds, and neither side makes a system call to wake it. Where
/// others want the CPU it must not: Linux takes a yield for a whole time slice used up, so that each may cost
/// milliseconds. Once yields have taken that long, nobody yields for a while.
/// Thread safety: all of it.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace tollgate::inline v0 {

/// Pure: time is passed in.
class Yields {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr int kPerWait = 32;
  /// Each, on average, when our own threads take turns, be they hundreds; somebody who has work to do takes longer.
  static constexpr std::chrono::milliseconds kLong{2};
  /// Before that average tells.
  static constexpr std::chrono::milliseconds kPatience{10};
  static constexpr std::chrono::seconds kPause{1};

  /// A wait whose deadline is near does not yield at all.
  [[nodiscard]] bool worthwhile(Time now, Time deadline) const noexcept {
    return now >= again_at_.load(std::memory_order_relaxed) && deadline - now > kPerWait * kLong;
  }

  /// Whether a wait may go on that began at `began` and has yielded so many times. If not, nobody yields for a while.
  [[nodiscard]] bool may_go_on(Time began, Time now, int yields) noexcept {
    if (now - began < std::max<Time::duration>(kPatience, yields * kLong)) return true;
    again_at_.store(now + kPause, std::memory_order_relaxed);
    return false;
  }

 private:
  std::atomic<Time> again_at_{Time::min()};
};

/// Yields until `done`, as long as that is worthwhile. Whether it is done.
template <class Done>
bool yield_until(Yields& yields, Yields::Time deadline, Done done) {
  const auto began = std::chrono::steady_clock::now();
  if (!yields.worthwhile(began, deadline)) return false;
  for (int i = 1; i <= Yields::kPerWait; ++i) {
    if (done()) return true;
    ::sched_yield();
    if (!yields.may_go_on(began, std::chrono::steady_clock::now(), i)) break;
  }
  return false;
}

}  // namespace tollgate::inline v0
