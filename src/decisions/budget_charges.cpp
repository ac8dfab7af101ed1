#include "decisions/budget_charges.hpp"

#include <fmt/format.h>

#include <string>

#include "values/argument_checks.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0::decisions {

std::optional<std::size_t> find_limit(std::span<const Limit> limits, std::string_view name) noexcept {
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (limits[i].name == name) return i;
  }
  return std::nullopt;
}

// A subject may have been passed in the limit's place, so the message has the length alone.
void reject_limit(std::string_view field, std::string_view name, std::span<const Limit> limits) {
  std::string names;
  for (const Limit& limit : limits) names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", limit.name);
  detail::reject("{} is a name of {} bytes that no limit has; it must be one of {}", field, name.size(), names);
}

BudgetCharges::BudgetCharges(std::span<const Limit> limits, std::span<const Charge> charges) {
  if (charges.empty() || charges.size() > kMaxCharges) {
    detail::reject("charges has {} entries; it must have 1 … {}", charges.size(), kMaxCharges);
  }
  for (std::size_t i = 0; i < charges.size(); ++i) add(limits, charges, i);
}

void BudgetCharges::add(std::span<const Limit> limits, std::span<const Charge> charges, std::size_t index) {
  const Charge& charge = charges[index];
  const auto field = [index](std::string_view name) { return fmt::format("charges[{}].{}", index, name); };
  const auto limit = find_limit(limits, charge.limit);
  if (!limit) reject_limit(field("limit"), charge.limit, limits);
  if (charge.subject.empty() || charge.subject.size() > kMaxUserIdBytes) {
    detail::check_length(field("subject"), charge.subject, 1, kMaxUserIdBytes);
  }
  if (charge.cost < 0 || charge.cost > kMaxTokens) detail::check_number(field("cost"), charge.cost, 0, kMaxTokens);

  std::size_t item = 0;
  while (item < items_.size() && (items_[item].limit != *limit || items_[item].subject != charge.subject)) ++item;
  if (item == items_.size()) {
    add_item({.limit = *limit, .subject = charge.subject, .max = limits[*limit].max});
  }
  items_[item].cost += charge.cost;  // at most kMaxCharges times kMaxTokens
  if (items_[item].cost > kMaxTokens) {
    detail::reject("{}, added to earlier costs of the same limit and subject, makes {}; that must be 0 … {}",
                   field("cost"), items_[item].cost, kMaxTokens);
  }
  add_charge(item);
}

std::size_t BudgetCharges::add_item(const BudgetItem& item) {
  items_.push_back(item);
  return items_.size() - 1;
}

std::int64_t BudgetCharges::total() const noexcept {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) sum += items_[i].cost;
  return sum;
}

bool passes_threshold(const Limit& limit, const BudgetItem& item) noexcept {
  if (limit.warn_at_percent == 0 || item.cost <= 0 || item.state.max == 0) return false;
  // Rounded up, without a product beyond int64: max = 100 * hundreds + rest.
  constexpr std::int64_t kPercent = 100;
  const std::int64_t hundreds = item.state.max / kPercent;
  const std::int64_t rest = item.state.max % kPercent;
  const std::int64_t threshold =
      hundreds * limit.warn_at_percent + (rest * limit.warn_at_percent + kPercent - 1) / kPercent;
  const std::int64_t spent = item.state.max - item.state.remaining;
  return spent >= threshold && spent - item.cost < threshold;
}

}  // namespace tollgate::inline v0::decisions
