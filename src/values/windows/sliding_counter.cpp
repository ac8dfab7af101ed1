#include "values/windows/sliding_counter.hpp"

#include <algorithm>

#include "values/budget_script.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {

SlidingCounter::SlidingCounter(const WindowTerms& terms) noexcept
    : terms_(terms), current_(terms.now * kParts / (terms.length * 1000)) {}

std::optional<SlidingCounter> SlidingCounter::load(const WindowTerms& terms, const StoredNumbers& stored) {
  SlidingCounter counter{terms};
  if (!stored) return counter;
  const std::span<const std::int64_t> numbers = *stored;
  if (numbers.size() < 2 || numbers.size() > 1 + counter.counts_.size()) return std::nullopt;

  const auto counts = numbers.subspan(1);
  counter.current_ = std::max(counter.current_, numbers[0]);
  const auto shift = static_cast<std::uint64_t>(counter.current_ - numbers[0]);
  for (std::size_t i = 0; i < counts.size() && i + shift < counter.counts_.size(); ++i) {
    counter.counts_[i + shift] = counts[i];
    counter.used_ = add(counter.used_, counts[i]);
  }
  return counter;
}

bool SlidingCounter::take(std::int64_t cost) noexcept {
  counts_[0] = add(counts_[0], cost);
  used_ = add(used_, cost);
  return cost > 0;
}

bool SlidingCounter::give_back(std::int64_t tokens) noexcept {
  const std::int64_t age = terms_.window == budget_script::kCurrentWindow ? 0 : current_ - terms_.window;
  if (age < 0 || age > kParts) return false;
  std::int64_t& count = counts_[static_cast<std::size_t>(age)];
  const std::int64_t given = std::min(tokens, count);
  count -= given;
  used_ -= given;
  return given > 0;
}

// The end of number `part` + 17 begins at (part + 17) * length / 16 seconds, which may be between two milliseconds.
std::int64_t SlidingCounter::end_of(std::int64_t part) const noexcept {
  const std::int64_t half_ms = multiply(add(part, kParts + 1), terms_.length * 125);
  return half_ms / 2 + half_ms % 2 - terms_.now;
}

std::int64_t SlidingCounter::wait(std::int64_t excess) const noexcept {
  for (std::int64_t age = kParts; age >= 0; --age) {
    excess -= counts_[static_cast<std::size_t>(age)];
    if (excess <= 0) return end_of(current_ - age);
  }
  return end_of(current_);
}

std::int64_t SlidingCounter::reset() const noexcept {
  for (std::int64_t age = 0; age <= kParts; ++age) {
    if (counts_[static_cast<std::size_t>(age)] > 0) return end_of(current_ - age);
  }
  return 0;
}

void SlidingCounter::store(std::vector<std::int64_t>& numbers) const {
  std::size_t oldest = kParts;
  while (oldest > 0 && counts_[oldest] == 0) --oldest;
  numbers.push_back(current_);
  for (std::size_t age = 0; age <= oldest; ++age) numbers.push_back(counts_[age]);
}

}  // namespace tollgate::inline v0::windows
