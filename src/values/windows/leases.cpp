#include "values/windows/leases.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "values/parse_integer.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {
namespace {

constexpr std::string_view kDigits = "0123456789";

struct Lease {
  std::string_view id;
  std::int64_t slots;
  std::int64_t end;    // Unix time in ms
  std::size_t behind;  // the place behind it
};

/// The digits at this place; empty where there are none.
std::string_view digits_at(std::string_view text, std::size_t place) {
  if (place > text.size()) return {};
  return text.substr(place, std::min(text.find_first_not_of(kDigits, place), text.size()) - place);
}

/// Nothing for anything but digits, and for more than kLargest.
std::optional<std::int64_t> number_of(std::string_view digits) {
  const auto number = detail::parse_integer(digits);
  return number && *number <= kLargest ? number : std::nullopt;
}

/// Nothing where there is none, or where it is damaged.
std::optional<Lease> lease_at(std::string_view list, std::size_t place) {
  if (place >= list.size() || list[place] != ' ') return std::nullopt;
  const std::string_view id = digits_at(list, place + 1);
  const std::size_t slots_at = place + 1 + id.size();
  if (id.empty() || slots_at >= list.size() || list[slots_at] != ':') return std::nullopt;
  const std::string_view slots = digits_at(list, slots_at + 1);
  const std::size_t end_at = slots_at + 1 + slots.size();
  const auto held = number_of(slots);
  if (!held || end_at >= list.size() || list[end_at] != ':') return std::nullopt;
  const std::string_view end = digits_at(list, end_at + 1);
  if (end.empty()) return std::nullopt;
  return Lease{id, *held, number_of(end).value_or(kLargest), end_at + 1 + end.size()};
}

/// When the last lease ends; 0 without one, nothing where it is damaged.
std::optional<std::int64_t> last_end(std::string_view list) {
  if (list.empty()) return 0;
  const std::size_t colon = list.rfind(':');
  if (colon == std::string_view::npos || list.size() - colon > 17) return std::nullopt;
  const std::string_view end = list.substr(colon + 1);
  return digits_at(end, 0).size() == end.size() ? detail::parse_integer(end) : std::nullopt;
}

}  // namespace

Leases::Leases(const WindowTerms& terms) noexcept : terms_(terms) {
  terms_.max = std::min(terms.max, Window::kMaxSlots);
}

std::optional<Leases> Leases::load(const WindowTerms& terms, std::optional<std::string_view> stored) {
  Leases leases{terms};
  if (!stored) return leases;
  const std::string_view used = digits_at(*stored, 0);
  const auto number = number_of(used);
  if (!number) return std::nullopt;
  leases.used_ = *number;
  if (!leases.drop_ended(stored->substr(used.size())) || !leases.find_own()) return std::nullopt;
  return leases;
}

bool Leases::drop_ended(std::string_view list) {
  std::size_t place = 0;
  while (place < list.size()) {
    const auto lease = lease_at(list, place);
    if (!lease) return false;
    if (lease->end > terms_.now) break;
    used_ = std::max<std::int64_t>(used_ - lease->slots, 0);
    place = lease->behind;
  }
  list_ = list.substr(place);
  if (list_.empty()) used_ = 0;
  const auto end = last_end(list_);
  last_end_ = end.value_or(0);
  return end.has_value();
}

bool Leases::find_own() {
  const std::size_t place = list_.find(fmt::format(" {}:", terms_.window));
  if (place == std::string::npos) return true;
  const auto lease = lease_at(list_, place);
  if (!lease) return false;
  own_ = Place{place, lease->behind, lease->end};
  held_ = lease->slots;
  return true;
}

void Leases::replace_own(std::string_view lease) {
  list_.replace(own_->begin, own_->end - own_->begin, lease);
  own_.reset();
}

std::int64_t Leases::excess(std::int64_t cost) const noexcept {
  const std::int64_t more = std::max<std::int64_t>(cost - held_, 0);
  return held_ > 0 && more == 0 ? 0 : used_ - (terms_.max - more);
}

bool Leases::take(std::int64_t cost) {
  const std::int64_t slots = std::max(held_, cost);
  if (slots == 0 || used_ - held_ + slots > Window::kMaxSlots) return false;
  if (own_) replace_own({});
  used_ += slots - held_;
  held_ = slots;
  last_end_ = std::max(terms_.now + terms_.length * 1000, last_end_);
  list_ += fmt::format(" {}:{}:{}", terms_.window, held_, last_end_);
  return true;
}

bool Leases::give_back(std::int64_t slots) {
  if (!own_) return false;
  const std::int64_t left = std::max<std::int64_t>(held_ - slots, 0);
  used_ = std::max<std::int64_t>(used_ - (held_ - left), 0);
  held_ = left;
  replace_own(left > 0 ? fmt::format(" {}:{}:{}", terms_.window, left, own_->lease_end) : std::string{});
  last_end_ = last_end(list_).value_or(0);
  if (list_.empty()) used_ = 0;
  return true;
}

std::int64_t Leases::wait(std::int64_t excess) const noexcept {
  for (auto lease = lease_at(list_, 0); lease; lease = lease_at(list_, lease->behind)) {
    if (number_of(lease->id) != terms_.window) excess -= lease->slots;
    if (excess <= 0) return lease->end - terms_.now;
  }
  return reset();
}

void Leases::store(std::string& text) const { text += std::to_string(used_) + list_; }

}  // namespace tollgate::inline v0::windows
