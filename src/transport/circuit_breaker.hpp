/// A circuit breaker. While it is open, calls fail at once, except for one probe after each pause. It opens after
/// kInARow failures in a row, after kOfLast among the last 32 calls, or at once when no connection can be made. The
/// pause doubles from kFirstPause to kLongestPause while probes fail, minus a random half of it, so that a fleet does
/// not reconnect at the same time ("equal jitter"). Its caller decides what counts as a failure: see the table in
/// docs/reliability.md.
/// Pure: time and random numbers are passed in. Thread safety: none; the driver's lock guards it.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <utility>

namespace tollgate::inline v0 {

class CircuitBreaker {
 public:
  using Time = std::chrono::steady_clock::time_point;

  enum class Permission : std::uint8_t { kCall, kProbe, kRefused };
  enum class Change : std::uint8_t { kNone, kOpened, kStaysOpen, kClosed };

  static constexpr int kInARow = 5;
  static constexpr int kOfLast = 16;
  static constexpr std::chrono::milliseconds kFirstPause{25};
  static constexpr std::chrono::milliseconds kLongestPause{500};

  /// Admits or refuses one call. After kProbe, the caller must report the outcome of the call, or call end_probe().
  [[nodiscard]] Permission ask(Time now) noexcept {
    if (!open_) return Permission::kCall;
    if (probing_ || now < probe_at_) return Permission::kRefused;
    probing_ = true;
    return Permission::kProbe;
  }

  /// Whether a connection may be attempted without a call, for posts.
  [[nodiscard]] bool may_connect(Time now) const noexcept { return !open_ || probing_ || now >= probe_at_; }

  /// Notes that a probe has ended without an outcome: the next call is a probe.
  void end_probe() noexcept { probing_ = false; }

  /// Notes that a call was answered.
  Change succeed() noexcept {
    history_ <<= 1U;
    in_a_row_ = 0;
    if (!probing_) return Change::kNone;
    *this = {};
    return Change::kClosed;
  }

  /// Notes that a call failed. `random` in [0, 1).
  Change fail(Time now, double random) noexcept {
    if (open_ && !probing_) return Change::kNone;  // the call was in flight when the circuit opened
    history_ = (history_ << 1U) | 1U;
    ++in_a_row_;
    if (!probing_ && in_a_row_ < kInARow && std::popcount(history_) < kOfLast) return Change::kNone;
    return open(now, random);
  }

  /// Opens it at once, because no connection can be made and so no call can succeed.
  Change open(Time now, double random) noexcept {
    const auto full = std::min(kFirstPause * (1 << std::min(pauses_++, 10)), kLongestPause);
    probe_at_ = now + std::chrono::duration_cast<Time::duration>(full * (1.0 - random / 2));
    probing_ = false;
    history_ = 0;
    in_a_row_ = 0;
    return std::exchange(open_, true) ? Change::kStaysOpen : Change::kOpened;
  }

 private:
  bool open_ = false;
  bool probing_ = false;
  Time probe_at_{};
  int pauses_ = 0;             // since it was closed
  int in_a_row_ = 0;           // failures
  std::uint32_t history_ = 0;  // a bit per call, the latest lowest; 1 = failed
};

}  // namespace tollgate::inline v0
