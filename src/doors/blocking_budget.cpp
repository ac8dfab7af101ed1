#include "doors/blocking_budget.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <random>
#include <stdexcept>
#include <utility>

#include "decisions/window.hpp"
#include "values/argument_checks.hpp"
#include "values/budget_arguments.hpp"
#include "values/failures.hpp"
#include "values/limits.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0 {

using decisions::BudgetAdjustment;
using decisions::BudgetCharges;
using decisions::BudgetFlow;
using decisions::BudgetItem;
using decisions::BudgetOutcome;
using decisions::HeldCharges;

namespace {

constexpr std::array<const Script*, 1> kBudgetScripts{&kBudgetScript};

/// Gives back what was charged after its call had returned with a refusal.
class LateBudgetCharge final : public ReplyHandler {
 public:
  explicit LateBudgetCharge(std::shared_ptr<PostHandler> undos) : undos_(std::move(undos)) {}

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override {
    try {
      CommandBatch correction = decisions::give_back_late(batch, result);
      if (!correction.empty()) client.post(std::move(correction), undos_);
    } catch (...) {
      std::int64_t amount = 0;
      for (std::size_t i = 0; i < batch.size(); ++i) amount += decisions::amount_of(batch[i]);
      undos_->lost(amount, no_memory());
    }
  }

 private:
  const std::shared_ptr<PostHandler> undos_;
};

/// 1 … 2^53-1
std::int64_t random_lease() {
  std::random_device random;
  constexpr std::int64_t kLowBits = 32;
  const std::int64_t high = random() & 0x1FFFFFU;
  return std::max<std::int64_t>(high << kLowBits | std::int64_t{random()}, 1);
}

}  // namespace

BlockingBudget::BlockingBudget(std::shared_ptr<RedisClient> client, BudgetConfig config)
    : config_((detail::check_config(config), std::move(config))),
      clock_(config_.clock ? config_.clock : system_clock()),
      client_(std::move(client)),
      flow_(config_.limits, config_.key_prefix,
            {.on_failure = config_.on_failure,
             .overrides_in_redis = config_.overrides_in_redis,
             .divides_by_slot = client_ && client_->divides_by_slot()}),
      memory_(config_.deny_memory.count() == 0 || config_.overrides_in_redis
                  ? nullptr
                  : std::make_unique<LockedRefusalMemory>(flow_, config_.deny_memory)),
      shares_(config_.on_failure == FailurePolicy::kLocalShare ? std::make_unique<LocalShares>(flow_.limits())
                                                               : nullptr),
      counters_(std::make_shared<LimiterCounters>()),
      events_(std::make_shared<LimiterEvents>(config_.observer, clock_, config_.key_prefix)),
      rights_(std::make_shared<ScriptRights>(clock_, events_)),
      budget_events_(events_, config_.token_secret),
      readiness_(kBudgetScript, clock_, counters_, events_, rights_),
      undos_(std::make_shared<PostHandler>(EventKind::kUndoFailed, clock_, counters_, events_, rights_)),
      settlements_(std::make_shared<PostHandler>(EventKind::kSettlementFailed, clock_, counters_, events_, rights_)),
      late_charge_(config_.on_failure == FailurePolicy::kAllow ? nullptr : std::make_shared<LateBudgetCharge>(undos_)) {
  if (!client_) throw std::invalid_argument("tollgate: client is null; it must be a RedisClient");
  client_->preload(kBudgetScripts);
}

BudgetDecision BlockingBudget::refusal(Source source, std::errc failure) noexcept {
  BudgetDecision decision;
  decision.source = source;
  decision.failure = std::make_error_code(failure);
  return decision;
}

BlockingBudget::~BlockingBudget() { events_->limiter_ends(); }

BudgetCharges BlockingBudget::resolve(std::span<const Charge> charges, Slots slots) const {
  BudgetCharges resolved{limits(), charges};
  for (std::size_t i = 0; i < resolved.size() && slots != Slots::kLooked; ++i) {
    BudgetItem& item = resolved.items()[resolved.item_of(i)];
    if (flow_.limit_of(item).window.kind() != Window::Kind::kConcurrent) continue;
    if (slots == Slots::kRefused) {
      detail::reject("charges[{}].limit is \"{}\", which counts what runs; its slots must be taken by reserve()", i,
                     flow_.limit_of(item).name);
    }
    if (item.window == BudgetItem::kCurrentWindow) item.window = random_lease();
  }
  return resolved;
}

void BlockingBudget::apply_overrides(BudgetCharges& charges) noexcept {
  if (!config_.override_max) return;
  for (std::size_t i = 0; i < charges.items().size(); ++i) {
    BudgetItem& item = charges.items()[i];
    const Limit& limit = flow_.limit_of(item);
    bool is_ignored = false;
    try {
      const std::optional<std::int64_t> max = config_.override_max(limit.name, item.subject);
      is_ignored = max && (*max < 0 || *max > kMaxTokens);
      if (max && !is_ignored) item.max = *max;
    } catch (...) {
      is_ignored = true;
    }
    if (is_ignored) budget_events_.override_ignored(limit, clock_->steady_now());
  }
}

/// Requests that the deny memory refuses need no round trip.
void BlockingBudget::start(PendingBudget& pending, Time now) {
  apply_overrides(pending.charges);
  flow_.start(pending);
  if (!pending.uses_memory || !memory_) return;
  memory_->look_up(pending.charges, now);
  flow_.advise(pending, now);
}

void BlockingBudget::run(std::span<PendingBudget> requests, Time now, const CallOptions& options) {
  CommandBatch batch;
  const BudgetFlow::Needs needs = flow_.next_batch(requests, batch);
  if (needs == BudgetFlow::Needs::kNothing) return;
  const auto period = events_->period();
  const auto& late = needs == BudgetFlow::Needs::kRepliesAlsoLate ? late_charge_ : no_handler_;
  flow_.resume(requests, client_->execute(batch, options.deadline, late));
  give_back(requests);
  for (PendingBudget& pending : requests) carry_out(pending, now, period);
}

/// Posts what gives back the parts of refused requests that were charged on a Cluster.
void BlockingBudget::give_back(std::span<PendingBudget> requests) noexcept {
  const std::int64_t amount = BudgetFlow::amount_to_give_back(requests);
  try {
    CommandBatch batch;
    flow_.give_back(requests, batch);
    if (!batch.empty()) client_->post(std::move(batch), undos_);
  } catch (...) {
    undos_->lost(amount, no_memory());
  }
}

/// Applies the effects of the reply to one request: events, counters, deny memory and local share.
void BlockingBudget::carry_out(PendingBudget& pending, Time now, LimiterEvents::Period period) noexcept {
  if (pending.outcome->failure) {
    readiness_.failed(pending.asked, period, *pending.outcome->failure);
  } else if (pending.asked != decisions::Asked::kNothing) {
    events_->answered(pending.asked, period);
  }
  if (pending.in_doubt) counters_->count_in_doubt(pending.doubtful);
  if (pending.answered) {
    for (std::size_t i = 0; i < pending.charges.items().size(); ++i) {
      const BudgetItem& item = pending.charges.items()[i];
      budget_events_.answered(flow_.limit_of(item), item, pending.outcome->charged, now);
    }
    if (pending.uses_memory && memory_ && !pending.outcome->decision.allowed) {
      memory_->remember(pending.charges, now);
    }
  }
  if (pending.uses_share && shares_) use_share(pending);
  if (pending.step == PendingBudget::Step::kAwaitLocalShare) ask_local_share(pending);
}

// A forked child makes new shares at its first use; when memory is short then, nothing is granted.
void BlockingBudget::use_share(const PendingBudget& pending) noexcept try {
  shares_->use(pending.charges, clock_->now());
} catch (const std::bad_alloc&) {
}

void BlockingBudget::ask_local_share(PendingBudget& pending) noexcept {
  bool granted = false;
  try {
    granted = shares_->take(pending.charges, clock_->now(), pending.kind == Kind::kCharge);
  } catch (const std::bad_alloc&) {
  }
  flow_.resume(pending, granted);
  const std::int64_t amount = pending.charges.total();
  if (granted && pending.kind == Kind::kCharge && amount > 0) post({.charges = &pending.charges}, amount);
}

BudgetOutcome BlockingBudget::ask(Kind kind, BudgetCharges& charges, const CallOptions& options) {
  BudgetOutcome outcome;
  PendingBudget pending{.charges = std::move(charges),
                        .kind = kind,
                        .operation_id = options.operation_id.value_or(std::string_view{}),
                        .outcome = &outcome};
  const Time now = clock_->steady_now();
  start(pending, now);
  if (pending.step != PendingBudget::Step::kDone) run({&pending, 1}, now, options);
  charges = std::move(pending.charges);
  return outcome;
}

std::vector<BudgetDecision> BlockingBudget::consume_all(std::span<const BudgetRequest> requests,
                                                        const CallOptions& options) {
  std::vector<BudgetDecision> decisions(requests.size());  // before any request is sent
  std::vector<PendingBudget> pending;
  std::vector<BudgetOutcome> outcomes(std::min(requests.size(), kMostPerRoundTrip));
  pending.reserve(outcomes.size());
  for (std::size_t first = 0; first < requests.size(); first += kMostPerRoundTrip) {
    const auto together = requests.subspan(first, std::min(requests.size() - first, kMostPerRoundTrip));
    auto failure = std::errc::io_error;  // an injected client threw
    pending.clear();
    try {
      const Time now = clock_->steady_now();
      for (const BudgetRequest& request : together) {
        BudgetOutcome& outcome = outcomes[pending.size()] = {};
        PendingBudget& each = pending.emplace_back();
        each.outcome = &outcome;
        try {
          each.charges = resolve(request.charges, Slots::kRefused);
        } catch (const std::invalid_argument&) {
          outcome.decision = refusal(Source::kLocal, std::errc::invalid_argument);
          continue;
        }
        start(each, now);
      }
      run(pending, now, options);
    } catch (const std::bad_alloc&) {
      failure = std::errc::not_enough_memory;
    } catch (...) {
    }
    for (std::size_t i = 0; i < together.size(); ++i) {
      const bool decided = i < pending.size() && pending[i].step == PendingBudget::Step::kDone;
      decisions[first + i] = finish(decided ? std::move(outcomes[i].decision) : refusal(Source::kFallback, failure));
    }
  }
  return decisions;
}

BudgetDecision BlockingBudget::finish_or_throw(BudgetOutcome outcome) {
  if (outcome.failure && config_.on_failure == FailurePolicy::kThrow) check(std::move(*outcome.failure));
  return finish(std::move(outcome.decision));
}

BudgetDecision BlockingBudget::finish(BudgetDecision decision) noexcept {
  counters_->count(decision.allowed, decision.source);
  events_->deliver();
  return decision;
}

void BlockingBudget::check(Failure failure) {
  if (failure.code) counters_->count_failed();
  events_->deliver();
  if (failure.code) throw_failure(std::move(failure));
}

Failure BlockingBudget::reset(std::string_view limit, std::string_view subject, const CallOptions& options) {
  const auto index = decisions::find_limit(limits(), limit);
  if (!index) decisions::reject_limit("limit", limit, limits());
  detail::check_length("subject", subject, 1, kMaxUserIdBytes);
  const BudgetItem item{.limit = *index, .subject = subject};
  CommandBatch batch;
  batch.unlink(flow_.key_of(item).view());
  Failure failure = failure_of(batch, client_->execute(batch, options.deadline, nullptr), 0);
  if (memory_) memory_->forget(item);
  return failure;
}

bool BlockingBudget::drain(std::chrono::steady_clock::time_point deadline) {
  const bool drained = client_->drain(deadline);
  events_->deliver();
  return drained;
}

void BlockingBudget::settle(const HeldCharges& held, std::span<const std::int64_t> actual_costs,
                            std::string_view once_id) noexcept {
  std::int64_t amount = 0;
  for (std::size_t i = 0; i < actual_costs.size(); ++i) amount += std::abs(actual_costs[i] - held.costs[i]);
  try {
    const auto age =
        std::chrono::floor<std::chrono::seconds>(now()).time_since_epoch() - std::chrono::seconds{held.made_at};
    if (!once_id.empty() && age > decisions::kSettlementLife) {
      settlements_->lost(amount, detail::failure(Errc::kTimeout, false,
                                                 "a shared reservation was settled later than an hour after it was "
                                                 "made, so nothing was given back or charged"));
    } else {
      auto adjustments = held.settlement(limits(), actual_costs, !once_id.empty());
      CommandBatch batch;
      for (std::size_t round = 0; round < adjustments.size(); ++round) {
        apply_overrides(adjustments[round]);
        flow_.adjust({.charges = &adjustments[round],
                      .once_id = once_id,
                      .round = round,
                      .record_ttl = decisions::kSettlementTtl},
                     batch);
      }
      if (!batch.empty()) client_->post(std::move(batch), settlements_);
    }
  } catch (...) {
    settlements_->lost(amount, no_memory());
  }
  // Afterwards: a refusal that Redis made before the post must not be remembered.
  try {
    for (std::size_t i = 0; i < held.items.size() && memory_; ++i) {
      memory_->forget({.limit = held.items[i].limit, .subject = held.items[i].subject});
    }
  } catch (const std::bad_alloc&) {  // a forked child could not make its deny memory, which would be empty
  }
  events_->deliver();
}

void BlockingBudget::post(const BudgetAdjustment& adjustment, std::int64_t amount) noexcept {
  try {
    CommandBatch batch;
    flow_.adjust(adjustment, batch);
    client_->post(std::move(batch), settlements_);
  } catch (...) {
    settlements_->lost(amount, no_memory());
  }
}

void BlockingBudget::drop(std::int64_t amount) noexcept {
  counters_->count_dropped();
  events_->reservation_dropped(amount, decisions::window_at(clock_->now()));
  events_->deliver();
}

Stats BlockingBudget::stats() const {
  Stats stats = counters_->read();
  stats.client = client_->stats();
  return stats;
}

}  // namespace tollgate::inline v0
