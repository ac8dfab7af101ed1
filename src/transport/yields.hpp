/// Decides whether a thread that waits for replies yields its CPU for a while before it sleeps. Yielding pays when only
/// our own threads use the CPUs: the reply comes within microseconds, and no system call is needed to wake the thread.
/// It does not pay when other processes use the CPU, because Linux counts a yield as a whole used time slice, so that
/// each may take milliseconds. When yields take that long, no thread yields for kPause.
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

  static constexpr int kPerWait = 32;  // `scripts/thresholds yields` compares it with 0
  /// The longest average yield that pays: hundreds of our own threads taking turns stay below it; a process that uses
  /// the CPU exceeds it. `scripts/thresholds long-yield` compares it with no limit, beside two busy processes.
  static constexpr std::chrono::milliseconds kLong{2};
  /// Yield time tolerated before the per-yield average is meaningful.
  static constexpr std::chrono::milliseconds kGracePeriod{10};
  static constexpr std::chrono::seconds kPause{1};

  /// A wait whose deadline is near does not yield at all.
  [[nodiscard]] bool worthwhile(Time now, Time deadline) const noexcept {
    return now >= again_at_.load(std::memory_order_relaxed) && deadline - now > kPerWait * kLong;
  }

  /// Whether a wait that began at `began` and has yielded `yields` times may continue. If not, no thread yields for
  /// kPause.
  [[nodiscard]] bool may_continue(Time began, Time now, int yields) noexcept {
    if (now - began < std::max<Time::duration>(kGracePeriod, yields * kLong)) return true;
    again_at_.store(now + kPause, std::memory_order_relaxed);
    return false;
  }

 private:
  std::atomic<Time> again_at_{Time::min()};
};

/// Yields until `done` returns true, as long as yielding pays. Returns whether it is done.
template <class Done>
bool yield_until(Yields& yields, Yields::Time deadline, Done done) {
  const auto began = std::chrono::steady_clock::now();
  if (!yields.worthwhile(began, deadline)) return false;
  for (int i = 1; i <= Yields::kPerWait; ++i) {
    if (done()) return true;
    ::sched_yield();
    if (!yields.may_continue(began, std::chrono::steady_clock::now(), i)) break;
  }
  return false;
}

}  // namespace tollgate::inline v0
