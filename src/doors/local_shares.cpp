#include "doors/local_shares.hpp"

#include <cstddef>
#include <cstdint>

#include "decisions/share_window.hpp"

namespace tollgate::inline v0 {

using decisions::BudgetItem;
using decisions::share_window;

LocalShares::LocalShares(std::span<const Limit> limits) : limits_(limits) {
  constexpr std::size_t kPlacesPerShard = 1024;
  constexpr std::int64_t kTenth = 10;
  for (const Limit& limit : limits) {
    const std::int64_t share = limit.local_share.value_or((limit.max + kTenth - 1) / kTenth);
    shares_.push_back(std::make_unique<LockedLocalShare>(share, kPlacesPerShard));
  }
}

void LocalShares::use(const decisions::BudgetCharges& charges, Time now) {
  for (std::size_t i = 0; i < charges.items().size(); ++i) {
    const BudgetItem& item = charges.items()[i];
    shares_[item.limit]->use(item.subject, share_window(limits_[item.limit].window, now), item.cost);
  }
}

bool LocalShares::take(const BudgetItem& item, Time now) {
  const Limit& limit = limits_[item.limit];
  const auto window = share_window(limit.window, now);
  if (shares_[item.limit]->grant(item.subject, window, item.cost)) return true;
  if (!limit.shadow) return false;
  shares_[item.limit]->use(item.subject, window, item.cost);
  return true;
}

bool LocalShares::take(const decisions::BudgetCharges& charges, Time now, bool keep) {
  const auto& items = charges.items();
  std::size_t taken = 0;
  while (taken < items.size() && take(items[taken], now)) ++taken;
  const bool fits = taken == items.size();
  if (fits && keep) return true;
  while (taken-- > 0) {
    const BudgetItem& item = items[taken];
    shares_[item.limit]->give_back(item.subject, share_window(limits_[item.limit].window, now), item.cost);
  }
  return fits;
}

}  // namespace tollgate::inline v0
