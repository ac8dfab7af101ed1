/// The charges of one request, checked and resolved: costs of the same limit and subject are added up, so each key of a
/// script occurs once. Up to four charges hold no heap memory. Pure values and functions.
/// Thread safety: that of any value; texts are those of the caller.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "decisions/refusal_memory.hpp"
#include "tollgate/budget_config.hpp"
#include "tollgate/detail/inline_vector.hpp"

namespace tollgate::inline v0::decisions {

/// What the script found for one item. Times are milliseconds.
struct ItemState {
  bool refuses = false;
  bool never_fits = false;
  bool would_refuse = false;         ///< in shadow mode
  bool override_is_damaged = false;  ///< its override in Redis was ignored
  std::int64_t max = 0;              ///< in force
  std::int64_t remaining = 0;
  std::int64_t reset_after = 0;
  std::int64_t retry_after = 0;  ///< not meaningful with never_fits
  std::int64_t window = 0;       ///< as the script names it; what was charged can be given back to it
};

/// All that a request charges to one subject of one limit.
struct BudgetItem {
  static constexpr std::int64_t kCurrentWindow = -1;

  std::size_t limit = 0;  ///< its index in BudgetConfig::limits
  std::string_view subject;
  std::int64_t cost = 0;                             ///< negative in an adjustment: given back
  std::int64_t max = 0;                              ///< Limit::max, or the override of the process
  std::int64_t window = kCurrentWindow;              ///< in an adjustment: what it changes
  ItemState state = {};                              ///< of the latest reply; default-constructed before it
  std::optional<Refusal> remembered = std::nullopt;  ///< by the deny memory: the request needs no round trip
  std::uint64_t memory_version = 0;                  ///< kept for the driver: the memory's version when it was asked
};

class BudgetCharges {
 public:
  BudgetCharges() = default;

  /// Resolves `charges` against `limits`. Throws std::invalid_argument that names the charge, its field and the range:
  /// an unknown limit, a subject of no or more than 512 bytes, costs out of range, also when added up, no charge or
  /// more than kMaxCharges.
  BudgetCharges(std::span<const Limit> limits, std::span<const Charge> charges);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }  ///< the number of charges
  /// The item of a charge.
  [[nodiscard]] std::size_t item_of(std::size_t charge) const noexcept { return item_of_[charge]; }

  [[nodiscard]] detail::InlineVector<BudgetItem, 4>& items() noexcept { return items_; }
  [[nodiscard]] const detail::InlineVector<BudgetItem, 4>& items() const noexcept { return items_; }

  /// Appends an item that differs from all others in its limit or subject; returns its index.
  std::size_t add_item(const BudgetItem& item);
  /// Appends a charge, at most kMaxCharges in all, that is part of an item.
  void add_charge(std::size_t item) noexcept { item_of_[size_++] = static_cast<std::uint8_t>(item); }

  /// The sum of all costs.
  [[nodiscard]] std::int64_t total() const noexcept;

 private:
  void add(std::span<const Limit> limits, std::span<const Charge> charges, std::size_t index);

  detail::InlineVector<BudgetItem, 4> items_;
  std::array<std::uint8_t, kMaxCharges> item_of_{};
  std::size_t size_ = 0;
};

/// The index of the limit with this name; nothing = none has it.
[[nodiscard]] std::optional<std::size_t> find_limit(std::span<const Limit> limits, std::string_view name) noexcept;

/// Throws std::invalid_argument: no limit has the name that `field` holds.
[[noreturn]] void reject_limit(std::string_view field, std::string_view name, std::span<const Limit> limits);

/// Whether the charge of `item` brought what was spent from below the limit's warn_at_percent to it or above.
[[nodiscard]] bool passes_threshold(const Limit& limit, const BudgetItem& item) noexcept;

}  // namespace tollgate::inline v0::decisions
