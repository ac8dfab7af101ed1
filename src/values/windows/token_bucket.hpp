/// A token bucket: it holds max tokens at most, and refills max per period.
///
/// Its arithmetic is exact. Time is counted in ticks: 1 ms, or 1 s for periods over a day, so that a period has less
/// than 2^26.5 ticks, and the product of two numbers of ticks is exact in Lua's doubles. What is refilled of the next
/// token is kept, in 1/period.
///
/// Low-water marks make it possible to give back: had a charge been smaller, the bucket would have been full earlier,
/// and what was refilled from then on would have overflowed. So at most the least that was used at any time since the
/// charge is given back. A mark (tick, used) says how much was used, rounded down, just before the charges of that
/// tick. Ticks and amounts of the marks increase, so the first mark after a charge has the least since then. At most 16
/// marks are kept: of more, the two that differ least are merged, which may give back less, never more.
///
/// Thread safety: that of any value.
#pragma once

#include "values/windows/window_terms.hpp"

namespace tollgate::inline v0::windows {

class TokenBucket {
 public:
  static constexpr std::size_t kMaxMarks = 16;

  [[nodiscard]] static std::optional<TokenBucket> load(const WindowTerms& terms, const StoredNumbers& stored);

  [[nodiscard]] std::int64_t max() const noexcept { return terms_.max; }
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  [[nodiscard]] std::int64_t excess(std::int64_t cost) const noexcept { return used_ - (terms_.max - cost); }
  bool take(std::int64_t cost);
  /// Nothing one period after the charge.
  bool give_back(std::int64_t tokens) noexcept;
  /// One period where max is 0, which refills nothing.
  [[nodiscard]] std::int64_t wait(std::int64_t excess) const noexcept;
  [[nodiscard]] std::int64_t reset() const noexcept { return used_ == 0 ? 0 : wait(used_); }
  [[nodiscard]] std::int64_t life() const noexcept { return reset(); }
  [[nodiscard]] std::int64_t window() const noexcept { return tick_; }
  void store(std::vector<std::int64_t>& numbers) const;

 private:
  struct Mark {
    std::int64_t tick;
    std::int64_t used;
  };
  struct Refill {
    std::int64_t tokens;
    std::int64_t part;  // of the next token
  };

  explicit TokenBucket(const WindowTerms& terms) noexcept;

  [[nodiscard]] Refill refill(std::int64_t ticks) const noexcept;
  [[nodiscard]] std::int64_t ticks_until(std::int64_t tokens) const noexcept;
  void merge_marks();

  WindowTerms terms_;
  std::int64_t tick_ms_;
  std::int64_t period_;    // in ticks
  std::int64_t tick_;      // of the last refill
  std::int64_t used_ = 0;  // and not refilled yet
  std::int64_t part_ = 0;  // of the next token, what is refilled, in 1/period
  std::vector<Mark> marks_;
};

}  // namespace tollgate::inline v0::windows
