/// The counter of a fixed window, aligned to Unix time, or of a UTC month.
/// Thread safety: that of any value.
#pragma once

#include "values/windows/window_terms.hpp"

namespace tollgate::inline v0::windows {

class FixedCounter {
 public:
  [[nodiscard]] static std::optional<FixedCounter> load(const WindowTerms& terms, const StoredNumbers& stored);

  [[nodiscard]] std::int64_t max() const noexcept { return terms_.max; }
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  [[nodiscard]] std::int64_t excess(std::int64_t cost) const noexcept { return used_ - (terms_.max - cost); }
  bool take(std::int64_t cost) noexcept;
  bool give_back(std::int64_t tokens) noexcept;
  [[nodiscard]] std::int64_t wait(std::int64_t /*excess*/) const noexcept { return reset(); }
  [[nodiscard]] std::int64_t reset() const noexcept;
  [[nodiscard]] std::int64_t life() const noexcept { return reset(); }
  [[nodiscard]] std::int64_t window() const noexcept { return window_; }
  void store(std::vector<std::int64_t>& numbers) const;

 private:
  FixedCounter(const WindowTerms& terms, std::int64_t window, std::int64_t used) noexcept
      : terms_(terms), window_(window), used_(used) {}

  WindowTerms terms_;
  std::int64_t window_;  // its number: Unix time / length, or months since January 1970
  std::int64_t used_;
};

}  // namespace tollgate::inline v0::windows
