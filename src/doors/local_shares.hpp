/// The local shares of a BudgetLimiter under FailurePolicy::kLocalShare, one LockedLocalShare of 256 KB for each limit.
/// Thread safety: all of it; a forked child starts with shares of its own.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "decisions/budget_charges.hpp"
#include "doors/locked_local_share.hpp"
#include "tollgate/budget_config.hpp"

namespace tollgate::inline v0 {

class LocalShares {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// `limits` must outlive the shares.
  explicit LocalShares(std::span<const Limit> limits);

  /// Counts what was charged in Redis.
  void use(const decisions::BudgetCharges& charges, Time now);

  /// Takes the costs from the share of every limit, or of none; a limit in shadow mode refuses nothing. Returns whether
  /// they fit. Without `keep` nothing stays taken.
  [[nodiscard]] bool take(const decisions::BudgetCharges& charges, Time now, bool keep);

 private:
  [[nodiscard]] bool take(const decisions::BudgetItem& item, Time now);

  const std::span<const Limit> limits_;
  std::vector<std::unique_ptr<LockedLocalShare>> shares_;
};

}  // namespace tollgate::inline v0
