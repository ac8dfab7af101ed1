#include "decisions/held_charges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include "values/argument_checks.hpp"

namespace tollgate::inline v0::decisions {
namespace {

using Sums = std::array<std::int64_t, kMaxCharges>;

Sums per_item(const HeldCharges& held, std::span<const std::int64_t> costs) noexcept {
  Sums sums{};
  for (std::size_t i = 0; i < costs.size(); ++i) sums[held.item_of[i]] += costs[i];
  return sums;
}

BudgetItem item_of(const HeldCharges::Item& held, std::span<const Limit> limits, std::int64_t cost) {
  return {.limit = held.limit, .subject = held.subject, .cost = cost, .max = limits[held.limit].max};
}

}  // namespace

std::int64_t HeldCharges::Item::total() const noexcept {
  return std::accumulate(parts.begin(), parts.end(), settled,
                         [](std::int64_t sum, const Part& part) { return sum + part.amount; });
}

std::int64_t HeldCharges::total() const noexcept {
  return std::accumulate(costs.begin(), costs.end(), std::int64_t{0});
}

HeldCharges HeldCharges::of(const BudgetCharges& charges) {
  HeldCharges held;
  for (std::size_t i = 0; i < charges.items().size(); ++i) {
    const BudgetItem& item = charges.items()[i];
    Item& added = held.items.emplace_back();
    added.limit = item.limit;
    added.subject = item.subject;
    added.lease = std::max<std::int64_t>(item.window, 0);
  }
  for (std::size_t i = 0; i < charges.size(); ++i) held.item_of.push_back(charges.item_of(i));
  held.costs.resize(charges.size());
  return held;
}

BudgetCharges HeldCharges::charges_of(std::span<const Limit> limits, std::span<const std::int64_t> more) const {
  const Sums sums = per_item(*this, more);
  BudgetCharges charges;
  for (std::size_t i = 0; i < items.size(); ++i) {
    BudgetItem item = decisions::item_of(items[i], limits, sums[i]);
    if (items[i].lease > 0) {
      item.window = items[i].lease;
      item.cost += items[i].total();
    }
    charges.add_item(item);
  }
  for (const std::size_t item : item_of) charges.add_charge(item);
  return charges;
}

BudgetCharges HeldCharges::leases(std::span<const Limit> limits) const {
  BudgetCharges charges;
  for (const Item& held : items) {
    if (held.lease == 0 || held.total() == 0) continue;
    BudgetItem item = decisions::item_of(held, limits, held.total());
    item.window = held.lease;
    charges.add_charge(charges.add_item(item));
  }
  return charges;
}

void HeldCharges::make_room() {
  for (Item& item : items) item.parts.reserve(std::min(item.parts.size() + 1, kMostParts));
}

void HeldCharges::hold(std::span<const std::int64_t> more, const BudgetCharges& charged,
                       bool windows_are_known) noexcept {
  const Sums sums = per_item(*this, more);
  for (std::size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    const std::int64_t window = charged.items()[i].state.window;
    if (sums[i] == 0) continue;
    if (item.lease > 0) {
      if (windows_are_known && window > 0) item.lease = window;  // of a repeated operation: the first one's
      const Part all{item.lease, item.total() + sums[i]};
      item.parts.clear();
      item.parts.push_back(all);
    } else if (!windows_are_known) {
      item.settled += sums[i];
    } else if (!item.parts.empty() && item.parts.back().window == window) {
      item.parts.back().amount += sums[i];
    } else {
      if (item.parts.size() == kMostParts) {
        item.parts[1] = {item.parts[0].window, item.parts[0].amount + item.parts[1].amount};
        item.parts.erase(item.parts.begin());
      }
      item.parts.push_back({window, sums[i]});
    }
  }
  for (std::size_t i = 0; i < costs.size(); ++i) costs[i] += more[i];
}

std::vector<BudgetCharges> HeldCharges::settlement(std::span<const Limit> limits, std::span<const std::int64_t> actual,
                                                   bool once) const {
  const Sums sums = per_item(*this, actual);
  std::size_t rounds = 1;
  for (const Item& item : items) rounds = std::max(rounds, item.parts.size());
  std::vector<BudgetCharges> adjustments(rounds);
  const auto adjust = [&](std::size_t round, std::size_t i, std::int64_t cost, std::int64_t window) {
    if (cost == 0 && !once) return;
    BudgetItem item = decisions::item_of(items[i], limits, cost);
    item.window = window;
    adjustments[round].add_item(item);
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    const std::int64_t used = item.lease > 0 ? 0 : sums[i];
    std::int64_t unused = item.total() - used;
    for (std::size_t round = 0; round < rounds; ++round) {
      if (unused < 0) {
        adjust(round, i, -unused, BudgetItem::kCurrentWindow);
        unused = 0;
      } else if (round < item.parts.size()) {
        const Part& part = item.parts[item.parts.size() - 1 - round];
        const std::int64_t given_back = std::min(unused, part.amount);
        adjust(round, i, -given_back, part.window);
        unused -= given_back;
      } else {
        adjust(round, i, 0, BudgetItem::kCurrentWindow);
      }
    }
  }
  std::erase_if(adjustments, [](const BudgetCharges& charges) { return charges.items().empty(); });
  return adjustments;
}

void check_costs(std::string_view field, const HeldCharges& held, std::span<const std::int64_t> costs) {
  if (costs.size() != held.item_of.size()) {
    detail::reject("{} has {} entries; it must have {}, one for each charge of the reservation", field, costs.size(),
                   held.item_of.size());
  }
  const auto is_cost = [](std::int64_t cost) { return cost >= 0 && cost <= kMaxTokens; };
  for (std::size_t i = 0; i < costs.size(); ++i) {
    if (!is_cost(costs[i])) detail::check_number(fmt::format("{}[{}]", field, i), costs[i], 0, kMaxTokens);
  }
  for (const std::int64_t sum : per_item(held, costs)) {
    if (is_cost(sum)) continue;
    detail::check_number(fmt::format("the sum of {} of one limit and subject", field), sum, 0, kMaxTokens);
  }
}

}  // namespace tollgate::inline v0::decisions
