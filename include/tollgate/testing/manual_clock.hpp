/// A clock that advances only when a test moves it: pass it as RateLimitConfig::clock, and no test waits for a minute.
/// Thread safety: safe from all threads.
#pragma once

#include <atomic>
#include <chrono>

#include "tollgate/clock.hpp"

namespace tollgate::inline v0::testing {

class ManualClock final : public Clock {
 public:
  /// 2026-01-01 00:00:00 UTC: the start of the minute 29'453'760.
  static constexpr std::chrono::system_clock::time_point kStart{std::chrono::seconds{1'767'225'600}};

  explicit ManualClock(std::chrono::system_clock::time_point start = kStart) noexcept
      : now_(start.time_since_epoch()) {}

  [[nodiscard]] std::chrono::system_clock::time_point now() const noexcept override {
    return std::chrono::system_clock::time_point{now_.load()};
  }
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const noexcept override {
    return std::chrono::steady_clock::time_point{steady_.load()};
  }

  /// Sets the system's time, also backwards, as an operator may; the steady time does not change.
  void set(std::chrono::system_clock::time_point now) noexcept { now_ = now.time_since_epoch(); }

  /// Advances both times; `by` must not be negative.
  void advance(std::chrono::nanoseconds by) noexcept {
    add(steady_, std::chrono::duration_cast<std::chrono::steady_clock::duration>(by));
    add(now_, std::chrono::duration_cast<std::chrono::system_clock::duration>(by));
  }

 private:
  template <class Duration>
  static void add(std::atomic<Duration>& time, Duration by) noexcept {
    Duration before = time.load();
    while (!time.compare_exchange_weak(before, before + by)) {
    }
  }

  std::atomic<std::chrono::system_clock::duration> now_;
  std::atomic<std::chrono::steady_clock::duration> steady_{std::chrono::hours{1}};
};

}  // namespace tollgate::inline v0::testing
