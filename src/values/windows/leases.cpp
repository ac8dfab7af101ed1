#include "values/windows/leases.hpp"

#include <algorithm>
#include <iterator>

#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {

Leases::Leases(const WindowTerms& terms) noexcept : terms_(terms) {
  terms_.max = std::min(terms.max, Window::kMaxSlots);
}

std::optional<Leases> Leases::load(const WindowTerms& terms, const StoredNumbers& stored) {
  Leases leases{terms};
  if (!stored) return leases;
  const std::span<const std::int64_t> numbers = *stored;
  if (numbers.size() % 3 != 0) return std::nullopt;
  for (std::size_t i = 0; i < numbers.size(); i += 3) {
    const Lease lease{numbers[i], numbers[i + 1], numbers[i + 2]};
    if (lease.end <= terms.now) continue;
    if (lease.id == terms.window) leases.own_ = leases.leases_.size();
    leases.leases_.push_back(lease);
    leases.used_ = add(leases.used_, lease.slots);
  }
  return leases;
}

std::int64_t Leases::excess(std::int64_t cost) const noexcept {
  const std::int64_t more = std::max<std::int64_t>(cost - held(), 0);
  return own_ && more == 0 ? 0 : used_ - (terms_.max - more);
}

bool Leases::take(std::int64_t cost) {
  if (!own_ && (cost == 0 || leases_.size() >= static_cast<std::size_t>(Window::kMaxSlots))) return false;
  const std::int64_t before = held();
  leases_.reserve(leases_.size() + 1);
  if (own_) remove_own();
  const std::int64_t slots = std::max(before, cost);
  const std::int64_t last = leases_.empty() ? 0 : leases_.back().end;
  own_ = leases_.size();
  leases_.push_back({terms_.window, slots, std::max(terms_.now + terms_.length * 1000, last)});
  used_ = add(used_ - before, slots);
  return true;
}

bool Leases::give_back(std::int64_t slots) noexcept {
  if (!own_) return false;
  Lease& own = leases_[*own_];
  const std::int64_t given = std::min(slots, own.slots);
  own.slots -= given;
  used_ -= given;
  if (own.slots == 0) remove_own();
  return true;
}

void Leases::remove_own() noexcept {
  leases_.erase(std::next(leases_.begin(), static_cast<std::ptrdiff_t>(*own_)));
  own_.reset();
}

std::int64_t Leases::wait(std::int64_t excess) const noexcept {
  for (std::size_t i = 0; i < leases_.size(); ++i) {
    if (own_ == i) continue;
    excess -= leases_[i].slots;
    if (excess <= 0) return leases_[i].end - terms_.now;
  }
  return reset();
}

std::int64_t Leases::reset() const noexcept { return leases_.empty() ? 0 : leases_.back().end - terms_.now; }

void Leases::store(std::vector<std::int64_t>& numbers) const {
  for (const Lease& lease : leases_) numbers.insert(numbers.end(), {lease.id, lease.slots, lease.end});
}

}  // namespace tollgate::inline v0::windows
