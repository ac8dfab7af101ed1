#include "tollgate/budget_reservation.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "doors/blocking_budget.hpp"
#include "doors/budget_token.hpp"
#include "doors/digests.hpp"
#include "values/budget_arguments.hpp"
#include "values/non_blocking_release.hpp"

namespace tollgate::inline v0 {

using decisions::BudgetCharges;
using decisions::BudgetOutcome;
using decisions::HeldCharges;

BudgetReservation::BudgetReservation(std::shared_ptr<BlockingBudget> limiter, HeldCharges held)
    : limiter_(std::move(limiter)), held_(std::make_unique<HeldCharges>(std::move(held))) {}

BudgetReservation::BudgetReservation(BudgetReservation&&) noexcept = default;

BudgetReservation& BudgetReservation::operator=(BudgetReservation&& other) noexcept {
  if (this != &other) {
    std::destroy_at(this);
    std::construct_at(this, std::move(other));  // throws nothing
  }
  return *this;
}

BudgetReservation::~BudgetReservation() {
  if (limiter_ && held_->total() > 0 && !has_token_) limiter_->drop(held_->total());
  release();
}

/// This may be the last owner of limiter and client; then another thread closes the client.
void BudgetReservation::release() noexcept {
  const detail::NonBlockingRelease scope;
  limiter_.reset();
}

BudgetReservation BudgetReservation::make(std::shared_ptr<BlockingBudget> limiter, std::span<const Charge> charges,
                                          const CallOptions& options) {
  BudgetCharges resolved = limiter->resolve(charges, BlockingBudget::Slots::kLeased);
  BudgetReservation reservation{std::move(limiter), HeldCharges::of(resolved)};
  HeldCharges& held = *reservation.held_;
  // Repetitions of a reservation share its operation id, so only the first settlement of them has an effect.
  held.once_id = options.operation_id.value_or(std::string_view{});
  held.made_at = std::chrono::floor<std::chrono::seconds>(reservation.limiter_->now()).time_since_epoch().count();
  std::vector<std::int64_t> costs;
  for (const Charge& charge : charges) costs.push_back(charge.cost);
  reservation.decision_ = reservation.charge(costs, resolved, options);
  return reservation;
}

BudgetReservation BudgetReservation::adopt(std::shared_ptr<BlockingBudget> limiter, std::string_view token) {
  HeldCharges held = decode_budget_token(token, limiter->config());
  BudgetReservation reservation{std::move(limiter), std::move(held)};
  reservation.decision_.allowed = true;
  reservation.decision_.source = Source::kLocal;
  return reservation;
}

BudgetDecision BudgetReservation::charge(std::span<const std::int64_t> costs, BudgetCharges& charges,
                                         const CallOptions& options) {
  held_->make_room();
  BudgetOutcome outcome = limiter_->ask(BlockingBudget::Kind::kCharge, charges, options);
  if (outcome.charged) held_->hold(costs, charges, outcome.windows_are_known);
  return limiter_->finish_or_throw(std::move(outcome));
}

std::int64_t BudgetReservation::cost(std::size_t index) const noexcept {
  return limiter_ && index < held_->costs.size() ? held_->costs[index] : 0;
}

BudgetDecision BudgetReservation::add(std::span<const std::int64_t> costs, const CallOptions& options) {
  check_open("add");
  decisions::check_costs("costs", *held_, costs);
  detail::check_budget_options(options);
  BudgetCharges charges = held_->charges_of(limiter_->limits(), costs);
  // An operation id would find the record of the reservation, and charge nothing.
  return charge(costs, charges, {.deadline = options.deadline});
}

BudgetDecision BudgetReservation::renew(const CallOptions& options) {
  check_open("renew");
  detail::check_budget_options(options);
  BudgetCharges leases = held_->leases(limiter_->limits());
  if (leases.size() == 0) {
    BudgetDecision nothing_to_renew;
    nothing_to_renew.allowed = true;
    nothing_to_renew.source = Source::kLocal;
    return limiter_->finish(nothing_to_renew);
  }
  return limiter_->finish_or_throw(
      limiter_->ask(BlockingBudget::Kind::kCharge, leases, {.deadline = options.deadline}));
}

void BudgetReservation::settle(std::span<const std::int64_t> actual_costs, const CallOptions& options) {
  if (!held_) return;
  decisions::check_costs("actual_costs", *held_, actual_costs);
  if (!limiter_) return;
  detail::check_budget_options(options);
  const std::string_view own_id = options.operation_id.value_or(std::string_view{});
  limiter_->settle(*held_, actual_costs, held_->once_id.empty() ? own_id : held_->once_id);
  release();
}

void BudgetReservation::cancel() noexcept {
  if (!limiter_) return;
  const std::array<std::int64_t, kMaxCharges> nothing{};
  limiter_->settle(*held_, std::span{nothing}.first(held_->costs.size()), held_->once_id);
  release();
}

std::string BudgetReservation::token() {
  check_open("token");
  if (held_->once_id.empty()) held_->once_id = random_id();
  std::string text = encode_budget_token(*held_, limiter_->config());
  has_token_ = true;
  return text;
}

void BudgetReservation::check_open(const char* what) const {
  if (!limiter_) throw std::logic_error(std::string{"tollgate: "} + what + "() on a reservation that has ended");
}

}  // namespace tollgate::inline v0
