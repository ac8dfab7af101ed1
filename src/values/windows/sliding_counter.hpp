/// The counters of a sliding window: one for each sub-window of a sixteenth of the length. The current one and the 16
/// before overlap the interval that ends now, and each counts as a whole: so in every interval at most max is admitted.
/// Thread safety: that of any value.
#pragma once

#include <array>

#include "values/windows/window_terms.hpp"

namespace tollgate::inline v0::windows {

class SlidingCounter {
 public:
  static constexpr std::int64_t kParts = 16;

  [[nodiscard]] static std::optional<SlidingCounter> load(const WindowTerms& terms, const StoredNumbers& stored);

  [[nodiscard]] std::int64_t max() const noexcept { return terms_.max; }
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  [[nodiscard]] std::int64_t excess(std::int64_t cost) const noexcept { return used_ - (terms_.max - cost); }
  bool take(std::int64_t cost) noexcept;
  bool give_back(std::int64_t tokens) noexcept;
  [[nodiscard]] std::int64_t wait(std::int64_t excess) const noexcept;
  [[nodiscard]] std::int64_t reset() const noexcept;
  [[nodiscard]] std::int64_t life() const noexcept { return end_of(current_); }
  [[nodiscard]] std::int64_t window() const noexcept { return current_; }
  void store(std::vector<std::int64_t>& numbers) const;

 private:
  explicit SlidingCounter(const WindowTerms& terms) noexcept;

  /// ms until a sub-window does not overlap the interval any more.
  [[nodiscard]] std::int64_t end_of(std::int64_t part) const noexcept;

  WindowTerms terms_;
  std::int64_t current_;                           // the number of the current sub-window
  std::array<std::int64_t, kParts + 1> counts_{};  // by age: the current one first
  std::int64_t used_ = 0;
};

}  // namespace tollgate::inline v0::windows
