/// Whether a thread that waits for replies yields its CPU a few times before it sleeps. Where the CPUs are busy with
/// our own threads it does: the reply comes within microseconds, and neither side makes a system call to wake it. Where
/// others want the CPU it must not: Linux takes a yield for a whole time slice used up, so that each may cost
/// milliseconds. Once one has, nobody yields for a while.
/// Thread safety: all of it.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <utility>

namespace tollgate::inline v0 {

/// Pure: time is passed in.
class Yields {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr int kPerWait = 32;
  /// Longer than all of our own threads take in turn, shorter than what somebody takes who has work to do.
  static constexpr std::chrono::milliseconds kTooLong{5};
  static constexpr std::chrono::seconds kPause{1};

  [[nodiscard]] bool worthwhile(Time now) const noexcept { return now >= again_at_.load(std::memory_order_relaxed); }

  /// One yield began and ended.
  void note(Time began, Time ended) noexcept {
    if (ended - began >= kTooLong) again_at_.store(ended + kPause, std::memory_order_relaxed);
  }

 private:
  std::atomic<Time> again_at_{Time::min()};
};

/// Yields until `done`, as long as that is worthwhile. Whether it is done.
template <class Done>
bool yield_until(Yields& yields, Done done) {
  auto now = std::chrono::steady_clock::now();
  for (int i = 0; i < Yields::kPerWait && yields.worthwhile(now); ++i) {
    if (done()) return true;
    ::sched_yield();
    const auto began = std::exchange(now, std::chrono::steady_clock::now());
    yields.note(began, now);
  }
  return false;
}

}  // namespace tollgate::inline v0
