/// What a BudgetReservation has charged, and to which windows, so that it can be given back. Pure: it makes the charges
/// of add() and of the settlement, and takes note of replies. Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "decisions/budget_charges.hpp"
#include "tollgate/budget_config.hpp"

namespace tollgate::inline v0::decisions {

struct HeldCharges {
  /// The most windows of one item to which costs are given back. Where add() has charged more, the two oldest are
  /// treated as the older of them: that may give back less, never more.
  static constexpr std::size_t kMostParts = 16;

  /// A cost in one window.
  struct Part {
    std::int64_t window = 0;
    std::int64_t amount = 0;
  };
  struct Item {
    std::size_t limit = 0;
    std::string subject;
    std::int64_t lease = 0;    ///< of slots: the id of the lease that holds them; 0 = the limit has no slots
    std::int64_t settled = 0;  ///< charged, but not known to which window: it cannot be given back
    std::vector<Part> parts;   ///< the oldest first

    [[nodiscard]] std::int64_t total() const noexcept;
  };

  std::vector<Item> items;
  std::vector<std::size_t> item_of;  ///< of each charge
  std::vector<std::int64_t> costs;   ///< charged, for each charge
  std::int64_t made_at = 0;          ///< Unix time in s of the first charge
  std::string once_id;               ///< the settlement's operation id; empty = it has one holder

  /// What `charges` would hold, before any of it is charged.
  [[nodiscard]] static HeldCharges of(const BudgetCharges& charges);

  /// The charges of add(): `more` costs, as many as charges. The texts are those of this object. Slots that are held
  /// are charged again, because a lease is replaced as a whole.
  [[nodiscard]] BudgetCharges charges_of(std::span<const Limit> limits, std::span<const std::int64_t> more) const;

  /// The leases that are held, to be renewed.
  [[nodiscard]] BudgetCharges leases(std::span<const Limit> limits) const;

  /// Allocates what the next hold() needs, so that it allocates nothing after the charge was made.
  void make_room();

  /// Notes that `charged`, which charges_of() made of `more`, was charged.
  void hold(std::span<const std::int64_t> more, const BudgetCharges& charged, bool windows_are_known) noexcept;

  /// The adjustments that replace what is held by `actual` costs, one for each charge: they are executed in turn,
  /// because each key occurs once in a script. Unused costs go back to the newest windows first; slots go back whatever
  /// their actual cost is. Where the settlement is executed `once` for several holders, there are as many adjustments
  /// whatever the costs, so that all holders record the same ones.
  [[nodiscard]] std::vector<BudgetCharges> settlement(std::span<const Limit> limits,
                                                      std::span<const std::int64_t> actual, bool once) const;

  /// The sum of what is held.
  [[nodiscard]] std::int64_t total() const noexcept;
};

/// Throws std::invalid_argument unless there are as many costs as charges, each 0 … kMaxTokens, also when those of one
/// item are added up. `field`: their name.
void check_costs(std::string_view field, const HeldCharges& held, std::span<const std::int64_t> costs);

}  // namespace tollgate::inline v0::decisions
