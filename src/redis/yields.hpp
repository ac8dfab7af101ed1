/// Whether a thread that waits for replies yields its CPU for a while before it sleeps. Where the CPUs are busy with
/// our own threads it does: the reply comes within microseconds, and neither side makes a system call to wake it. Where
/// others want the CPU it must not: Linux takes a yield for a whole time slice used up, so that each may cost
/// milliseconds. Once a wait has yielded for too long, nobody yields for a while.
/// Thread safety: all of it.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>

namespace tollgate::inline v0 {

/// Pure: time is passed in.
class Yields {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr int kPerWait = 32;
  /// Longer than all of our own threads take in turn. A wait whose deadline is as near does not yield at all.
  static constexpr std::chrono::milliseconds kTooLong{5};
  static constexpr std::chrono::seconds kPause{1};

  [[nodiscard]] bool worthwhile(Time now, Time deadline) const noexcept {
    return now >= again_at_.load(std::memory_order_relaxed) && deadline - now > kTooLong;
  }

  /// Whether a wait that has yielded since `began` may go on. If not, others are told by worthwhile().
  [[nodiscard]] bool may_go_on(Time began, Time now) noexcept {
    if (now - began < kTooLong) return true;
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
  for (int i = 0; i < Yields::kPerWait; ++i) {
    if (done()) return true;
    ::sched_yield();
    if (!yields.may_go_on(began, std::chrono::steady_clock::now())) break;
  }
  return false;
}

}  // namespace tollgate::inline v0
