/// Estimated costs that have been charged to several limits, and are settled when the real costs are known.
///
///     auto reservation = limiter.reserve({{"requests", "key_1"}, {"team-tokens", "team_7", estimate}});
///     if (!reservation) return too_many_requests();
///     reservation.settle({1, answer.tokens_used});
///
/// Costs are given in the order of the charges of BudgetLimiter::reserve. When a reservation is destroyed or assigned
/// over without settle() or cancel(), the estimates stay charged; unless token() was called, this is counted
/// (Stats::reservations_dropped) and reported (kReservationDropped). The destructor does no I/O; settle() and cancel()
/// do none beyond their post, also when the reservation is the last owner of limiter and client. A reservation may
/// outlive its limiter. Thread safety: one thread at a time; distinct reservations are independent.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tollgate/budget_config.hpp"
#include "tollgate/budget_decision.hpp"
#include "tollgate/call_options.hpp"
#include "tollgate/detail/export.hpp"

namespace tollgate::inline v0 {

class BlockingBudget;  // src/doors/blocking_budget.hpp
namespace decisions {
class BudgetCharges;  // src/decisions/budget_charges.hpp
struct HeldCharges;   // src/decisions/held_charges.hpp
}

class TOLLGATE_EXPORT BudgetReservation {
 public:
  BudgetReservation(BudgetReservation&&) noexcept;
  BudgetReservation& operator=(BudgetReservation&& other) noexcept;
  ~BudgetReservation();

  [[nodiscard]] bool allowed() const noexcept { return decision_.allowed; }
  explicit operator bool() const noexcept { return allowed(); }
  /// Of reserve(); of an adopted reservation: allowed, without states.
  [[nodiscard]] const BudgetDecision& decision() const noexcept { return decision_; }

  /// The cost charged now for charge number `index`: the estimate and what add() charged; 0 when refused, settled or
  /// cancelled, when FailurePolicy::kAllow admitted the request uncounted, and for a number that no charge has.
  [[nodiscard]] std::int64_t cost(std::size_t index) const noexcept;

  /// Charges more, as many costs as charges, each 0 … 2^53-1, when all of them fit; otherwise none. Blocks for a round
  /// trip, and fails as BudgetLimiter::consume does. Throws std::logic_error once settled, cancelled or moved from.
  [[nodiscard]] BudgetDecision add(std::span<const std::int64_t> costs, const CallOptions& options = {});
  [[nodiscard]] BudgetDecision add(std::initializer_list<std::int64_t> costs, const CallOptions& options = {}) {
    return add(std::span<const std::int64_t>{costs.begin(), costs.size()}, options);
  }

  /// Replaces the charges by the actual costs, as many as charges, each 0 … 2^53-1. What was charged beyond them is
  /// given back to the windows that were charged, while these count. What exceeds the charges is charged to the current
  /// windows, if necessary past the limits; on a refused reservation, all of it. Slots (Window::concurrent) are freed,
  /// whatever their actual cost is. Returns at once; throws
  /// std::invalid_argument only. A settlement that cannot be delivered is counted by BudgetLimiter::undelivered(). A
  /// second call, and one after cancel(), has no effect. Of several reservations with the same operation_id, or adopted
  /// from the same token(), only the first settlement has an effect; one of these that is made later than an hour after
  /// the reservation gives back nothing and charges nothing, and counts as undelivered.
  void settle(std::span<const std::int64_t> actual_costs, const CallOptions& options = {});
  void settle(std::initializer_list<std::int64_t> actual_costs, const CallOptions& options = {}) {
    settle(std::span<const std::int64_t>{actual_costs.begin(), actual_costs.size()}, options);
  }

  /// Renews the leases of the slots that the reservation holds, for limits whose window is Window::concurrent; other
  /// limits are not charged. Call it at least once per lease while the work runs. Blocks for a round trip, and fails as
  /// BudgetLimiter::consume does. Not allowed where a lease has ended and its slots are taken meanwhile; `states` has
  /// one entry for each such limit. Throws std::logic_error once settled, cancelled or moved from.
  BudgetDecision renew(const CallOptions& options = {});

  /// Gives back all that was charged: settle with costs of 0.
  void cancel() noexcept;

  /// This reservation as printable text of at most 32'768 bytes, to settle it in another process with
  /// BudgetLimiter::adopt. However often it is settled, only the first settlement has an effect. It contains limits and
  /// subjects, not encrypted. It describes the current charge, so call it after the last add(). Throws std::logic_error
  /// once settled, cancelled or moved from.
  [[nodiscard]] std::string token();

 private:
  friend class BudgetLimiter;

  BudgetReservation(std::shared_ptr<BlockingBudget> limiter, decisions::HeldCharges held);

  static BudgetReservation make(std::shared_ptr<BlockingBudget> limiter, std::span<const Charge> charges,
                                const CallOptions& options);
  static BudgetReservation adopt(std::shared_ptr<BlockingBudget> limiter, std::string_view token);

  BudgetDecision charge(std::span<const std::int64_t> costs, decisions::BudgetCharges& charges,
                        const CallOptions& options);
  void release() noexcept;
  void check_open(const char* what) const;

  std::shared_ptr<BlockingBudget> limiter_;       // null once settled, cancelled or moved from
  std::unique_ptr<decisions::HeldCharges> held_;  // null when moved from
  BudgetDecision decision_;
  bool has_token_ = false;  // token() was called: another process may settle it
};

}  // namespace tollgate::inline v0
