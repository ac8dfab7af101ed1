/// One thread waits on it until another signals it: it first yields, then sleeps, until a deadline.
/// Thread safety: one waiter, any number of signallers.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>

#include "transport/yields.hpp"

namespace tollgate::inline v0 {

/// `time` on CLOCK_MONOTONIC, which is what std::chrono::steady_clock reads on Linux.
/// A time before its start is the start.
inline timespec to_timespec(std::chrono::nanoseconds time) noexcept {
  time = std::max(time, std::chrono::nanoseconds{0});
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {static_cast<std::time_t>(seconds.count()), static_cast<long>((time - seconds).count())};
}

class WaitWord {
 public:
  void signal() noexcept {
    if (state_.exchange(kSignalled, std::memory_order_acq_rel) == kSleeping) {
      ::syscall(SYS_futex, word(), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  }

  /// True when signalled, also when that was before the call; otherwise wait_until() may follow.
  bool yield(Yields& yields, std::chrono::steady_clock::time_point deadline) noexcept {
    return yield_until(yields, deadline, [this] { return state_.load(std::memory_order_acquire) == kSignalled; });
  }

  /// Sleeps. True when signalled, also when that was before the call; false when `deadline` came first.
  bool wait_until(std::chrono::steady_clock::time_point deadline) noexcept {
    std::uint32_t idle = kIdle;
    if (!state_.compare_exchange_strong(idle, kSleeping, std::memory_order_acq_rel)) return true;
    const timespec until = to_timespec(deadline.time_since_epoch());
    while (state_.load(std::memory_order_acquire) == kSleeping) {
      if (std::chrono::steady_clock::now() >= deadline) {
        std::uint32_t sleeping = kSleeping;
        return !state_.compare_exchange_strong(sleeping, kIdle, std::memory_order_acq_rel);
      }
      ::syscall(SYS_futex, word(), FUTEX_WAIT_BITSET_PRIVATE, kSleeping, &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    }
    return true;
  }

  /// Clears a signal, before the next wait.
  void reset() noexcept { state_.store(kIdle, std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kIdle = 0;
  static constexpr std::uint32_t kSleeping = 1;
  static constexpr std::uint32_t kSignalled = 2;

  std::uint32_t* word() noexcept { return reinterpret_cast<std::uint32_t*>(&state_); }

  std::atomic<std::uint32_t> state_{kIdle};
  static_assert(sizeof(state_) == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
};

}  // namespace tollgate::inline v0
