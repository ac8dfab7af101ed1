/// The decision on one request of a BudgetLimiter, and the state of each limit that it charged. Up to four charges hold
/// no heap memory. Thread safety: plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

#include "tollgate/decision.hpp"
#include "tollgate/detail/inline_array.hpp"
#include "tollgate/window.hpp"

namespace tollgate::inline v0 {

/// What one charge found.
struct LimitState {
  std::string_view limit =
      {};  ///< its name, valid as long as the limiter, or an open reservation of it; empty = unknown limit
  Window window = Window::fixed(std::chrono::minutes{1});  ///< of the limit
  std::int64_t max = 0;                                    ///< in force: Limit::max or an override
  std::optional<std::int64_t> remaining = std::nullopt;    ///< 0 … max, after the charge; nothing = unknown
  bool refuses = false;       ///< the cost does not fit, so the request was refused; of several charges, each is judged
  bool would_refuse = false;  ///< likewise, but the limit is in shadow mode
  /// Until nothing of what is counted now counts any more, rounded up: a fixed window's end; a token bucket is full. 0
  /// = nothing is counted, or not known because Redis was not asked.
  std::chrono::milliseconds reset_after{0};
  /// How long to wait before this cost can fit, rounded up, when nobody else spends meanwhile. 0 = it fits now. Nothing
  /// = it exceeds max and never fits, or not known because Redis gave no usable reply.
  std::optional<std::chrono::milliseconds> retry_after = std::chrono::milliseconds{0};
};

/// One LimitState per charge. Thread safety: that of std::vector.
class LimitStates {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return states_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  /// `index` < size().
  [[nodiscard]] const LimitState& operator[](std::size_t index) const noexcept { return states_.data()[index]; }
  [[nodiscard]] const LimitState* begin() const noexcept { return states_.data(); }
  [[nodiscard]] const LimitState* end() const noexcept { return states_.data() + states_.size(); }

  void push_back(const LimitState& state) { states_.push_back(state); }

 private:
  detail::InlineArray<LimitState, 4> states_;
};

struct BudgetDecision {
  bool allowed = false;
  std::optional<std::size_t> refused_by = std::nullopt;  ///< the index of the first charge that did not fit
  /// How long to wait before the same request can fit, rounded up: the longest of the charges that refuse. Nothing when
  /// the request was allowed, when one of them never fits, and when the wait is unknown.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  /// One per charge, in order; charges of the same limit and subject have the same state. Empty when an argument of
  /// try_consume was out of range, or memory was short.
  LimitStates states = {};
  Source source = Source::kRedis;
  std::error_code failure = {};  ///< set when Redis gave no usable reply

  explicit operator bool() const noexcept { return allowed; }
};

}  // namespace tollgate::inline v0
