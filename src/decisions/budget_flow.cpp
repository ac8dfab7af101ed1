#include "decisions/budget_flow.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "decisions/reply_failures.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0::decisions {

namespace script = budget_script;
using std::chrono::milliseconds;

namespace {

/// An error by which Redis decided nothing, though it can be reached: no FailurePolicy admits the request.
bool is_no_outage(std::error_code code) noexcept { return code == Errc::kMoved || code == Errc::kCrossSlot; }

void explain(Failure& failure) noexcept {
  if (failure.code != Errc::kCrossSlot) return;
  try {
    if (!failure.detail.empty()) failure.detail += "; ";
    failure.detail +=
        "on a Redis Cluster, all charges with an operation_id must have the same subject, so that their keys lie in "
        "one hash slot; and the URL must be redis+cluster://";
  } catch (...) {  // no memory for the text
  }
}

/// The time until `then`, rounded up.
milliseconds until(Refusal::Time then, Refusal::Time now) noexcept {
  return std::chrono::ceil<milliseconds>(std::max(then, now) - now);
}

/// Reads the state of one item at `first`; false when a number is missing.
bool read_state(const std::vector<Reply>& numbers, std::size_t first, ItemState& state) noexcept {
  std::array<std::int64_t, script::kStateIntegers> values{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto number = numbers[first + i].to_integer();
    if (!number) return false;
    values[i] = *number;
  }
  const auto has = [status = values[script::kStatus]](std::int64_t bit) { return (status & bit) != 0; };
  state.refuses = has(script::kRefuses);
  state.never_fits = has(script::kNeverFits) || values[script::kRetryAfter] == script::kNever;
  state.would_refuse = has(script::kWouldRefuse);
  state.override_is_damaged = has(script::kOverrideIgnored);
  state.max = values[script::kMaxInForce];
  state.remaining = std::clamp<std::int64_t>(values[script::kRemaining], 0, std::max<std::int64_t>(state.max, 0));
  state.reset_after = std::max<std::int64_t>(values[script::kResetAfter], 0);
  state.retry_after = std::max<std::int64_t>(values[script::kRetryAfter], 0);
  state.window = values[script::kChargedWindow];
  return true;
}

/// Fills in refused_by and retry_after of a refusal from the states.
void name_refusal(BudgetDecision& decision) noexcept {
  bool is_known = true;
  milliseconds longest{0};
  for (std::size_t i = 0; i < decision.states.size(); ++i) {
    const LimitState& state = decision.states[i];
    if (!state.refuses) continue;
    if (!decision.refused_by) decision.refused_by = i;
    is_known = is_known && state.retry_after.has_value();
    longest = std::max(longest, state.retry_after.value_or(milliseconds{0}));
  }
  if (decision.refused_by && is_known) decision.retry_after = longest;
}

/// Makes the decision of a request from the states that `state_of` gives for its items. Without memory for more than
/// four charges, the decision has no states.
template <class StateOf>
BudgetDecision decision_of(const PendingBudget& pending, bool allowed, Source source, StateOf state_of) noexcept {
  BudgetDecision decision;
  decision.allowed = allowed;
  decision.source = source;
  try {
    for (std::size_t i = 0; i < pending.charges.size(); ++i) {
      decision.states.push_back(state_of(pending.charges.items()[pending.charges.item_of(i)]));
    }
    if (!allowed) name_refusal(decision);
  } catch (...) {
    decision.states = {};
  }
  return decision;
}

}  // namespace

LimitState BudgetFlow::unknown_state(const BudgetItem& item) const noexcept {
  const Limit& limit = limit_of(item);
  return {.limit = limit.name, .window = limit.window, .max = item.max, .retry_after = std::nullopt};
}

void BudgetFlow::start(PendingBudget& pending) const noexcept {
  if (pending.kind == Kind::kCharge && pending.charges.total() == 0 && pending.operation_id.empty()) {
    pending.kind = Kind::kPeek;
  }
  pending.step = Step::kAsk;
  if (is_redis_alone_to_decide(pending)) return;

  const auto never_fits = [this](const BudgetItem& item) { return item.cost > item.max && !limit_of(item).shadow; };
  bool is_possible = true;
  const auto& items = pending.charges.items();
  for (std::size_t i = 0; i < items.size(); ++i) is_possible = is_possible && !never_fits(items[i]);
  if (is_possible) {
    pending.uses_memory = true;
    return;
  }
  pending.step = Step::kDone;
  pending.outcome->decision = decision_of(pending, false, Source::kLocal, [&](const BudgetItem& item) {
    LimitState state = unknown_state(item);
    state.refuses = never_fits(item);
    return state;
  });
}

void BudgetFlow::advise(PendingBudget& pending, Refusal::Time now) const noexcept {
  const auto is_refused = [this](const BudgetItem& item) { return item.remembered && !limit_of(item).shadow; };
  bool is_remembered = false;
  const auto& items = pending.charges.items();
  for (std::size_t i = 0; i < items.size(); ++i) is_remembered = is_remembered || is_refused(items[i]);
  if (!is_remembered) return;
  pending.step = Step::kDone;
  pending.outcome->decision = decision_of(pending, false, Source::kLocal, [&](const BudgetItem& item) {
    LimitState state = unknown_state(item);
    if (!is_refused(item)) return state;
    state.refuses = true;
    state.retry_after = until(item.remembered->fits_at, now);
    state.reset_after = until(item.remembered->resets_at, now);
    return state;
  });
}

void BudgetFlow::resume(std::span<PendingBudget> requests, const BatchResult& result) const noexcept {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    PendingBudget& pending = requests[i];
    if (pending.step != Step::kAsk) continue;
    // Surplus replies go to the last request, which then fails.
    const std::size_t end =
        i + 1 < requests.size() ? requests[i + 1].first_command : std::numeric_limits<std::size_t>::max();
    read(pending, result, end);
  }
}

void BudgetFlow::read(PendingBudget& pending, const BatchResult& result, std::size_t end) const noexcept {
  if (pending.kind != Kind::kRecord) pending.asked = pending.kind == Kind::kPeek ? Asked::kPeek : Asked::kCharge;
  pending.step = Step::kDone;
  const std::size_t parts = pending.parts.count;
  std::uint32_t allowed = 0;  // bit k: part k
  bool repeats = false;
  Failure failure;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t first = pending.first_command + part;
    PartAnswer answer = read_part(pending, part, {result, first, part + 1 < parts ? 1 : end - first});
    if (answer.allowed) allowed |= 1U << part;
    repeats = repeats || answer.repeats;
    if (answer.failure.may_have_executed && pending.kind != Kind::kPeek) {
      pending.in_doubt = true;
      pending.doubtful += cost_of(pending, part);
    }
    const bool says_more = !failure.code || (answer.failure.may_have_executed && !failure.may_have_executed);
    if (answer.failure.code && says_more) failure = std::move(answer.failure);
  }

  const bool all_allowed = allowed == (1U << parts) - 1;
  if (pending.kind == Kind::kCharge && !all_allowed) pending.to_give_back = allowed;
  if (failure.code) {
    failure.may_have_executed = failure.may_have_executed || (pending.kind == Kind::kRecord && allowed != 0);
    return fail(pending, std::move(failure));
  }
  if (!repeats) decide(pending, all_allowed);
}

BudgetFlow::PartAnswer BudgetFlow::read_part(PendingBudget& pending, std::size_t part,
                                             const ReplyRange& replies) const noexcept {
  PartAnswer answer;
  answer.failure = find_failure(replies, {Operation::kScript});
  if (answer.failure.code) return answer;

  const std::vector<Reply>& numbers = replies[0].elements();
  const auto allowed = numbers.empty() ? std::nullopt : numbers[script::kAllowed].to_integer();
  answer.repeats = allowed == script::kRepeated;
  if (answer.repeats) return answer;
  std::size_t next = script::kStates;
  bool is_whole = allowed && numbers.size() > script::kTime && numbers[script::kTime].to_integer();
  for (std::size_t i = 0; i < pending.charges.items().size() && is_whole; ++i) {
    if (pending.parts.of_item[i] != part) continue;
    is_whole =
        numbers.size() >= next + script::kStateIntegers && read_state(numbers, next, pending.charges.items()[i].state);
    next += script::kStateIntegers;
  }
  if (!is_whole || numbers.size() != next) {
    answer.failure = unexpected_reply();
    return answer;
  }
  pending.outcome->server_time = milliseconds{numbers[script::kTime].to_integer().value_or(0)};
  answer.allowed = *allowed != 0;
  return answer;
}

void BudgetFlow::decide(PendingBudget& pending, bool allowed) const noexcept {
  auto& items = pending.charges.items();
  for (std::size_t i = 0; i < items.size(); ++i) {
    if ((pending.to_give_back >> pending.parts.of_item[i] & 1U) == 0) continue;
    ItemState& state = items[i].state;
    state.remaining = std::min(state.remaining + items[i].cost, state.max);
  }
  BudgetOutcome& outcome = *pending.outcome;
  outcome.decision = decision_of(pending, allowed, Source::kRedis, [this](const BudgetItem& item) {
    const ItemState& found = item.state;
    const Limit& limit = limit_of(item);
    LimitState state{.limit = limit.name,
                     .window = limit.window,
                     .max = found.max,
                     .remaining = found.remaining,
                     .refuses = found.refuses,
                     .would_refuse = found.would_refuse,
                     .reset_after = milliseconds{found.reset_after},
                     .retry_after = milliseconds{found.retry_after}};
    if (found.never_fits) state.retry_after = std::nullopt;
    return state;
  });
  outcome.charged = allowed && pending.kind != Kind::kPeek;
  outcome.windows_are_known = outcome.charged;
  pending.answered = true;
  pending.uses_share = outcome.charged;
}

void BudgetFlow::fail(PendingBudget& pending, Failure failure) const noexcept {
  explain(failure);
  const std::error_code code = failure.code;
  pending.outcome->failure = std::move(failure);
  if (pending.kind == Kind::kRecord) return;
  if (options_.on_failure == FailurePolicy::kLocalShare && !is_no_outage(code)) {
    pending.step = Step::kAwaitLocalShare;
  } else {
    apply_policy(pending, false);
  }
}

/// A request that kAllow admits counts as charged when its charge may have been executed. A grant of the local share is
/// charged when Redis is reachable again.
void BudgetFlow::apply_policy(PendingBudget& pending, bool granted) const noexcept {
  BudgetOutcome& outcome = *pending.outcome;
  const Failure& failure = *outcome.failure;
  const bool allowed = granted || (options_.on_failure == FailurePolicy::kAllow && !is_no_outage(failure.code));
  outcome.decision =
      decision_of(pending, allowed, Source::kFallback, [this](const BudgetItem& item) { return unknown_state(item); });
  outcome.decision.failure = failure.code;
  outcome.charged = pending.kind == Kind::kCharge && (granted || (allowed && failure.may_have_executed));
  pending.step = Step::kDone;
}

/// Within a fixed window nothing becomes free before its end, so all that is more than what remains is refused until
/// then. Elsewhere some becomes free all the time: only costs as large as this one are refused until it fits.
Refusal BudgetFlow::refusal_of(const BudgetItem& item, Refusal::Time asked_at, milliseconds duration) const noexcept {
  const ItemState& state = item.state;
  const Window& window = limit_of(item).window;
  const bool frees_at_its_end = window.kind() == Window::Kind::kFixed || window.kind() == Window::Kind::kUtcMonth;
  const milliseconds retry_after{state.retry_after};
  return {.cost = frees_at_its_end ? state.remaining + 1 : item.cost,
          .max = std::min(item.max, state.max),
          .until = asked_at + std::min(duration, retry_after),
          .fits_at = asked_at + retry_after,
          .resets_at = asked_at + milliseconds{state.reset_after}};
}

}  // namespace tollgate::inline v0::decisions
