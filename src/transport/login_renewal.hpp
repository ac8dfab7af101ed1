/// When the credentials of a connection are to be asked for again: after three quarters of their validity, so that a
/// quarter of it is left to ask and to send AUTH. Those that are refused, or cannot be had, are asked for again after
/// an eighth of it, at least kShortestPause and at most kLongestPause later. Pure: time is passed in. Thread safety:
/// none; the driver's lock guards it.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace tollgate::inline v0 {

class LoginRenewal {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds kShortestValidity{1};
  static constexpr std::chrono::milliseconds kShortestPause{100};
  static constexpr std::chrono::milliseconds kLongestPause{60'000};

  LoginRenewal() = default;  // never due
  /// With credentials that were asked for at `asked_at` and are valid for so long from then; nothing = without end.
  LoginRenewal(Time asked_at, std::optional<std::chrono::seconds> valid_for) noexcept {
    if (!valid_for) return;
    validity_ = std::clamp<std::chrono::seconds>(*valid_for, kShortestValidity, kLongestValidity);
    due_ = asked_at + validity_ * 3 / 4;
  }

  /// Time::max() when never.
  [[nodiscard]] Time due() const noexcept { return due_; }

  /// Whether the credentials must be asked for now; until the next renewed() or failed() it is not due again.
  [[nodiscard]] bool begin(Time now) noexcept {
    if (now < due_) return false;
    due_ = Time::max();
    is_asking_ = true;
    return true;
  }
  [[nodiscard]] bool is_asking() const noexcept { return is_asking_; }

  /// New credentials, asked for at `asked_at`, have replaced the old ones.
  void renewed(Time asked_at, std::optional<std::chrono::seconds> valid_for) noexcept {
    const bool has_failed = has_failed_;
    *this = {asked_at, valid_for};
    has_failed_ = has_failed;
  }
  /// The server has accepted them.
  void accepted() noexcept { has_failed_ = false; }
  /// The new ones were refused, or the callback threw. True the first time since some were accepted.
  bool failed(Time now) noexcept {
    is_asking_ = false;
    due_ = now + std::clamp<std::chrono::milliseconds>(validity_ / 8, kShortestPause, kLongestPause);
    return !std::exchange(has_failed_, true);
  }

 private:
  static constexpr std::chrono::hours kLongestValidity{24 * 365};  // so that no time point overflows

  std::chrono::milliseconds validity_{0};
  Time due_ = Time::max();
  bool is_asking_ = false;
  bool has_failed_ = false;
};

}  // namespace tollgate::inline v0
