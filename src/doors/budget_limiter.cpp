#include "tollgate/budget_limiter.hpp"

#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "doors/blocking_budget.hpp"
#include "doors/client_defaults.hpp"
#include "values/budget_arguments.hpp"

namespace tollgate::inline v0 {

BudgetLimiter::BudgetLimiter(std::string_view url, BudgetConfig config)
    : BudgetLimiter{url, std::move(config), ClientOptions{}} {}

// Braces, because they evaluate in order: the client is made before `config` is moved from.
BudgetLimiter::BudgetLimiter(std::string_view url, BudgetConfig config, ClientOptions client)
    : BudgetLimiter{connect_shared(url, with_defaults_of(config, std::move(client))), std::move(config)} {}

BudgetLimiter::BudgetLimiter(std::shared_ptr<RedisClient> client, BudgetConfig config)
    : limiter_(std::make_shared<BlockingBudget>(std::move(client), std::move(config))) {}

BudgetDecision BudgetLimiter::consume(std::span<const Charge> charges, const CallOptions& options) {
  detail::check_budget_options(options);
  auto resolved = limiter_->resolve(charges, BlockingBudget::Slots::kRefused);
  return limiter_->finish_or_throw(limiter_->ask(BlockingBudget::Kind::kCharge, resolved, options));
}

BudgetDecision BudgetLimiter::try_consume(std::span<const Charge> charges, const CallOptions& options) noexcept {
  try {
    detail::check_budget_options(options);
    auto resolved = limiter_->resolve(charges, BlockingBudget::Slots::kRefused);
    return limiter_->finish(limiter_->ask(BlockingBudget::Kind::kCharge, resolved, options).decision);
  } catch (const std::invalid_argument&) {
    return limiter_->finish(BlockingBudget::refusal(Source::kLocal, std::errc::invalid_argument));
  } catch (const std::bad_alloc&) {
    return limiter_->finish(BlockingBudget::refusal(Source::kFallback, std::errc::not_enough_memory));
  } catch (...) {  // an injected client threw
    return limiter_->finish(BlockingBudget::refusal(Source::kFallback, std::errc::io_error));
  }
}

std::vector<BudgetDecision> BudgetLimiter::consume_all(std::span<const BudgetRequest> requests,
                                                       const CallOptions& options) {
  detail::check_budget_options_of_many(options);
  return limiter_->consume_all(requests, options);
}

BudgetDecision BudgetLimiter::peek(std::span<const Charge> charges, const CallOptions& options) {
  detail::check_budget_options(options);
  auto resolved = limiter_->resolve(charges, BlockingBudget::Slots::kLooked);
  return limiter_->finish_or_throw(limiter_->ask(BlockingBudget::Kind::kPeek, resolved, options));
}

BudgetReservation BudgetLimiter::reserve(std::span<const Charge> charges, const CallOptions& options) {
  detail::check_budget_options(options);
  return BudgetReservation::make(limiter_, charges, options);
}

BudgetReservation BudgetLimiter::adopt(std::string_view token) { return BudgetReservation::adopt(limiter_, token); }

void BudgetLimiter::record(std::span<const Charge> charges, const CallOptions& options) {
  detail::check_budget_options(options);
  auto resolved = limiter_->resolve(charges, BlockingBudget::Slots::kRefused);
  if (resolved.total() == 0) return;
  limiter_->check(limiter_->ask(BlockingBudget::Kind::kRecord, resolved, options).failure.value_or(Failure{}));
}

std::int64_t BudgetLimiter::cost_of(std::string_view limit, const TokenUsage& usage) const {
  const auto index = decisions::find_limit(limiter_->limits(), limit);
  if (!index) decisions::reject_limit("limit", limit, limiter_->limits());
  detail::check_usage(usage);
  return weighted_cost(usage, limiter_->limits()[*index].weights);
}

void BudgetLimiter::reset(std::string_view limit, std::string_view subject, const CallOptions& options) {
  limiter_->check(limiter_->reset(limit, subject, options));
}

void BudgetLimiter::ping(const CallOptions& options) { limiter_->check(limiter_->ping(options)); }

bool BudgetLimiter::drain(std::chrono::steady_clock::time_point deadline) { return limiter_->drain(deadline); }

Stats BudgetLimiter::stats() const { return limiter_->stats(); }

Undelivered BudgetLimiter::undelivered() const noexcept { return limiter_->undelivered(); }

std::string BudgetLimiter::subject_hash(std::string_view subject) const { return limiter_->subject_hash(subject); }

}  // namespace tollgate::inline v0
