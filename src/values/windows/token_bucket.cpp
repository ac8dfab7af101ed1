#include "values/windows/token_bucket.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "values/budget_script.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {
namespace {

constexpr std::int64_t kDay = 86'400;  // seconds

}  // namespace

TokenBucket::TokenBucket(const WindowTerms& terms) noexcept
    : terms_(terms),
      tick_ms_(terms.length > kDay ? 1000 : 1),
      period_(terms.length * 1000 / tick_ms_),
      tick_(terms.now / tick_ms_) {}

std::optional<TokenBucket> TokenBucket::load(const WindowTerms& terms, const StoredNumbers& stored) {
  TokenBucket bucket{terms};
  if (!stored) return bucket;
  const std::span<const std::int64_t> numbers = *stored;
  if (numbers.size() < 3 || numbers.size() > 3 + 2 * kMaxMarks || numbers.size() % 2 == 0) return std::nullopt;
  if (numbers[2] >= bucket.period_) return std::nullopt;

  const std::int64_t elapsed = std::max<std::int64_t>(bucket.tick_ - numbers[0], 0);
  bucket.tick_ = std::max(bucket.tick_, numbers[0]);
  bucket.part_ = numbers[2];
  const Refill refilled = bucket.refill(elapsed);
  bucket.used_ = std::max<std::int64_t>(numbers[1] - refilled.tokens, 0);
  bucket.part_ = bucket.used_ > 0 ? refilled.part : 0;
  for (std::size_t i = 3; i < numbers.size(); i += 2) {
    if (numbers[i] <= bucket.tick_ - bucket.period_ || numbers[i + 1] >= bucket.used_) continue;
    bucket.marks_.push_back({numbers[i], numbers[i + 1]});
  }
  return bucket;
}

bool TokenBucket::take(std::int64_t cost) {
  if (cost == 0) return false;
  if (marks_.empty() || marks_.back().tick < tick_) marks_.push_back({tick_, used_ - (part_ > 0 ? 1 : 0)});
  if (marks_.size() > kMaxMarks) merge_marks();
  used_ = add(used_, cost);
  return true;
}

void TokenBucket::merge_marks() {
  const auto step = [this](std::size_t i) { return marks_[i + 1].used - marks_[i].used; };
  std::size_t least = 0;
  for (std::size_t i = 1; i + 1 < marks_.size(); ++i) {
    if (step(i) < step(least)) least = i;
  }
  marks_[least].tick = marks_[least + 1].tick;
  marks_.erase(std::next(marks_.begin(), static_cast<std::ptrdiff_t>(least) + 1));
}

bool TokenBucket::give_back(std::int64_t tokens) noexcept {
  const std::int64_t charged = terms_.window == budget_script::kCurrentWindow ? tick_ : terms_.window;
  if (charged <= tick_ - period_ || charged > tick_) return false;
  std::int64_t given = std::min(tokens, used_);
  for (const Mark& mark : marks_) {
    if (mark.tick > charged) given = std::min(given, mark.used);
  }
  used_ -= given;

  for (Mark& mark : marks_) {
    if (mark.tick > charged) mark.used -= given;
  }
  // A mark that is not below every later one says nothing.
  auto kept = marks_.end();
  std::int64_t least = used_;
  for (auto mark = marks_.end(); mark != marks_.begin();) {
    --mark;
    if (mark->used >= least) continue;
    least = mark->used;
    *--kept = *mark;
  }
  marks_.erase(marks_.begin(), kept);
  if (used_ == 0) part_ = 0;
  return given > 0;
}

TokenBucket::Refill TokenBucket::refill(std::int64_t ticks) const noexcept {
  const std::int64_t periods = ticks / period_;
  const std::int64_t rest = ticks % period_;
  const std::int64_t parts = terms_.max % period_ * rest + part_;
  const std::int64_t tokens = terms_.max / period_ * rest + parts / period_;
  return {add(multiply(periods, terms_.max), tokens), parts % period_};
}

std::int64_t TokenBucket::ticks_until(std::int64_t tokens) const noexcept {
  if (tokens <= 0) return 0;
  if (terms_.max == 0) return period_;
  const std::int64_t periods = (tokens - 1) / terms_.max;
  const std::int64_t rest = tokens - periods * terms_.max;  // 1 … max
  // The product may exceed 2^63. Its quotient is at most one tick from the exact one, which the loops find.
  const double parts = static_cast<double>(rest) * static_cast<double>(period_) - static_cast<double>(part_);
  auto ticks = std::max<std::int64_t>(std::llround(parts / static_cast<double>(terms_.max)), 0);
  while (ticks > 0 && refill(ticks - 1).tokens >= rest) --ticks;
  while (refill(ticks).tokens < rest) ++ticks;
  return add(multiply(periods, period_), ticks);
}

std::int64_t TokenBucket::wait(std::int64_t excess) const noexcept {
  return std::max<std::int64_t>(multiply(add(tick_, ticks_until(excess)), tick_ms_) - terms_.now, 0);
}

void TokenBucket::store(std::vector<std::int64_t>& numbers) const {
  numbers.insert(numbers.end(), {tick_, used_, part_});
  for (const Mark& mark : marks_) numbers.insert(numbers.end(), {mark.tick, mark.used});
}

}  // namespace tollgate::inline v0::windows
