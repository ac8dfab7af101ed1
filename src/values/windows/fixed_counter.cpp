#include "values/windows/fixed_counter.hpp"

#include <algorithm>

#include "values/budget_script.hpp"
#include "values/windows/calendar.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {

std::optional<FixedCounter> FixedCounter::load(const WindowTerms& terms, const StoredNumbers& stored) {
  const std::int64_t current =
      terms.kind == Window::Kind::kUtcMonth ? month_of(terms.now) : terms.now / (terms.length * 1000);
  if (!stored) return FixedCounter{terms, current, 0};
  if (stored->size() != 2) return std::nullopt;
  const std::int64_t charged = (*stored)[0];
  return charged >= current ? FixedCounter{terms, charged, (*stored)[1]} : FixedCounter{terms, current, 0};
}

bool FixedCounter::take(std::int64_t cost) noexcept {
  used_ = add(used_, cost);
  return cost > 0;
}

bool FixedCounter::give_back(std::int64_t tokens) noexcept {
  if (terms_.window != budget_script::kCurrentWindow && terms_.window != window_) return false;
  const std::int64_t given = std::min(tokens, used_);
  used_ -= given;
  return given > 0;
}

std::int64_t FixedCounter::reset() const noexcept {
  const std::int64_t end = terms_.kind == Window::Kind::kUtcMonth ? start_of_month(window_ + 1)
                                                                  : multiply(add(window_, 1), terms_.length * 1000);
  return end - terms_.now;
}

void FixedCounter::store(std::vector<std::int64_t>& numbers) const { numbers.insert(numbers.end(), {window_, used_}); }

}  // namespace tollgate::inline v0::windows
