/// Whether asking Redis is worth a caller's time: open, calls fail at once, but for one probe after each pause.
/// Opens after kInARow failures in a row, or kOfLast among the last 32 calls, or at once when told to. A pause doubles
/// from kFirstPause to kLongestPause while probes fail; a random half of it is taken off, so that a fleet does not come
/// back in step ("equal jitter"). What counts as a failure is its user's to say: docs/reliability.md has the table.
/// Pure: time and chance are passed in. Thread safety: none; the Pipeline's lock guards it.
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

  /// For one call. Whoever is given kProbe must report its outcome, or end_probe().
  [[nodiscard]] Permission ask(Time now) noexcept {
    if (!open_) return Permission::kCall;
    if (probing_ || now < probe_at_) return Permission::kRefused;
    probing_ = true;
    return Permission::kProbe;
  }

  /// Whether a connection may be tried for what is not a call.
  [[nodiscard]] bool may_connect(Time now) const noexcept { return !open_ || probing_ || now >= probe_at_; }

  /// A probe has ended without an outcome: the next call is one.
  void end_probe() noexcept { probing_ = false; }

  /// A call was answered.
  Change succeed() noexcept {
    history_ <<= 1U;
    in_a_row_ = 0;
    if (!probing_) return Change::kNone;
    *this = {};
    return Change::kClosed;
  }

  /// A call failed. `random` in [0, 1).
  Change fail(Time now, double random) noexcept {
    if (open_ && !probing_) return Change::kNone;  // it was under way when the circuit opened
    history_ = (history_ << 1U) | 1U;
    ++in_a_row_;
    if (!probing_ && in_a_row_ < kInARow && std::popcount(history_) < kOfLast) return Change::kNone;
    return open(now, random);
  }

  /// No call can succeed: there is no connection to be had.
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
