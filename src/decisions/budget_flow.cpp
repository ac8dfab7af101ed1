#include "decisions/budget_flow.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>

#include "decisions/reply_failures.hpp"
#include "tollgate/detail/inline_array.hpp"
#include "values/failures.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0::decisions {

namespace script = budget_script;
using std::chrono::milliseconds;
using Kind = PendingBudget::Kind;
using Step = PendingBudget::Step;

namespace {

static_assert(kMaxCharges == script::kMaxCharges);

constexpr std::string_view kChargeRecord = "charge";
constexpr std::string_view kAdjustRecord = "adjust";

/// The keys of one command, whose texts lie one behind the other.
class KeyTexts {
 public:
  void add(std::string_view key) {
    text_.append({key.data(), key.size()});
    ends_[size_++] = text_.size();
  }
  /// Valid until the next add().
  [[nodiscard]] std::span<const std::string_view> views() {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      views_[i] = {text_.data() + begin, ends_[i] - begin};
      begin = ends_[i];
    }
    return {views_.data(), size_};
  }

 private:
  static constexpr std::size_t kMostKeys = 2 * kMaxCharges + 1;

  detail::InlineArray<char, 512> text_;
  std::array<std::size_t, kMostKeys> ends_{};
  std::array<std::string_view, kMostKeys> views_{};
  std::size_t size_ = 0;
};

/// An error by which Redis decided nothing, though it can be reached: no FailurePolicy admits the request.
bool is_no_outage(std::error_code code) noexcept { return code == Errc::kMoved || code == Errc::kCrossSlot; }

void explain(Failure& failure) noexcept {
  if (failure.code != Errc::kCrossSlot) return;
  try {
    if (!failure.detail.empty()) failure.detail += "; ";
    failure.detail +=
        "on a Redis Cluster, all charges of a request must have the same subject, so that their keys lie in one hash "
        "slot";
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

void BudgetFlow::append(script::Mode mode, const BudgetCharges& charges, const Record& record,
                        CommandBatch& batch) const {
  const auto& items = charges.items();
  const bool has_record = !record.key.empty();
  KeyTexts keys;
  for (std::size_t i = 0; i < items.size(); ++i) keys.add(key_of(items[i]).view());
  for (std::size_t i = 0; i < items.size() && overrides_in_redis_; ++i) {
    keys.add(BudgetKey::overrides(key_prefix_, items[i].subject).view());
  }
  if (has_record) keys.add(record.key);

  detail::InlineArray<std::int64_t, script::kHeader + 4 * script::kChargeIntegers> integers;
  integers.push_back(static_cast<std::int64_t>(mode));
  integers.push_back(static_cast<std::int64_t>(items.size()));
  integers.push_back((overrides_in_redis_ ? script::kHasOverrides : 0) | (has_record ? script::kHasRecord : 0));
  integers.push_back(record.ttl.count());
  for (std::size_t i = 0; i < items.size(); ++i) {
    const BudgetItem& item = items[i];
    const Limit& limit = limit_of(item);
    const std::array<std::int64_t, script::kChargeIntegers> charge{static_cast<std::int64_t>(limit.window.kind()),
                                                                   item.max,
                                                                   limit.window.length().count(),
                                                                   item.cost,
                                                                   item.window,
                                                                   limit.shadow ? script::kShadow : 0};
    integers.append(charge);
  }
  batch.run(kBudgetScript, keys.views(), integers.view());
}

BudgetFlow::Needs BudgetFlow::next_batch(std::span<PendingBudget> requests, CommandBatch& batch) const {
  Needs needs = Needs::kNothing;
  for (PendingBudget& pending : requests) {
    pending.first_command = batch.size();
    if (pending.step != Step::kAsk) continue;
    const auto mode = pending.kind == Kind::kPeek     ? script::Mode::kPeek
                      : pending.kind == Kind::kCharge ? script::Mode::kCharge
                                                      : script::Mode::kAdjust;
    if (pending.kind == Kind::kCharge) {
      needs = Needs::kRepliesAlsoLate;
    } else if (needs == Needs::kNothing) {
      needs = Needs::kReplies;
    }
    if (pending.operation_id.empty() || pending.kind == Kind::kPeek) {
      append(mode, pending.charges, {}, batch);
      continue;
    }
    const BudgetKey key =
        BudgetKey::operation(key_prefix_, pending.charges.items()[0].subject,
                             pending.kind == Kind::kCharge ? kChargeRecord : kAdjustRecord, pending.operation_id);
    append(mode, pending.charges, {key.view(), kOperationTtl}, batch);
  }
  return needs;
}

void BudgetFlow::resume(std::span<PendingBudget> requests, const BatchResult& result) const noexcept {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    PendingBudget& pending = requests[i];
    if (pending.step != Step::kAsk) continue;
    // Surplus replies go to the last request, which then fails.
    const std::size_t end =
        i + 1 < requests.size() ? requests[i + 1].first_command : std::numeric_limits<std::size_t>::max();
    read(pending, {result, pending.first_command, end - pending.first_command});
  }
}

void BudgetFlow::read(PendingBudget& pending, const ReplyRange& replies) const noexcept {
  if (pending.kind != Kind::kRecord) pending.asked = pending.kind == Kind::kPeek ? Asked::kPeek : Asked::kCharge;
  if (Failure found = find_failure(replies, {Operation::kScript}); found.code) return fail(pending, std::move(found));

  const std::vector<Reply>& numbers = replies[0].elements();
  auto& items = pending.charges.items();
  const auto allowed = numbers.empty() ? std::nullopt : numbers[script::kAllowed].to_integer();
  pending.step = Step::kDone;
  if (allowed == script::kRepeated) return;  // a record that was executed before
  bool is_whole = allowed && numbers.size() == script::kStates + items.size() * script::kStateIntegers;
  for (std::size_t i = 0; i < items.size() && is_whole; ++i) {
    is_whole = read_state(numbers, script::kStates + i * script::kStateIntegers, items[i].state);
  }
  const auto time = is_whole ? numbers[script::kTime].to_integer() : std::nullopt;
  if (!time) {
    const bool repeats = allowed && !pending.operation_id.empty();
    return fail(pending,
                repeats ? detail::failure(Errc::kProtocol, false, "the operation_id was used for other charges before")
                        : unexpected_reply());
  }

  BudgetOutcome& outcome = *pending.outcome;
  outcome.decision = decision_of(pending, *allowed != 0, Source::kRedis, [this](const BudgetItem& item) {
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
  outcome.server_time = milliseconds{*time};
  outcome.charged = outcome.decision.allowed && pending.kind != Kind::kPeek;
  outcome.windows_are_known = outcome.charged;
  pending.answered = true;
  pending.uses_share = outcome.charged;
}

void BudgetFlow::fail(PendingBudget& pending, Failure failure) const noexcept {
  explain(failure);
  pending.in_doubt = failure.may_have_executed && pending.kind != Kind::kPeek;
  pending.step = Step::kDone;
  const std::error_code code = failure.code;
  pending.outcome->failure = std::move(failure);
  if (pending.kind == Kind::kRecord) return;
  if (on_failure_ == FailurePolicy::kLocalShare && !is_no_outage(code)) {
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
  const bool allowed = granted || (on_failure_ == FailurePolicy::kAllow && !is_no_outage(failure.code));
  outcome.decision =
      decision_of(pending, allowed, Source::kFallback, [this](const BudgetItem& item) { return unknown_state(item); });
  outcome.decision.failure = failure.code;
  outcome.charged = pending.kind == Kind::kCharge && (granted || (allowed && failure.may_have_executed));
  pending.step = Step::kDone;
}

void BudgetFlow::adjust(const BudgetAdjustment& adjustment, CommandBatch& batch) const {
  if (adjustment.once_id.empty()) return append(script::Mode::kAdjust, *adjustment.charges, {}, batch);
  std::array<char, 16> kind{};  // "adjust", of the second adjustment "adjust1", and so on
  std::copy(kAdjustRecord.begin(), kAdjustRecord.end(), kind.begin());
  char* end = kind.data() + kAdjustRecord.size();
  if (adjustment.round > 0) end = std::to_chars(end, kind.data() + kind.size(), adjustment.round).ptr;
  const std::string_view kind_text{kind.data(), static_cast<std::size_t>(end - kind.data())};
  const BudgetKey key = BudgetKey::operation(key_prefix_, adjustment.once_subject, kind_text, adjustment.once_id);
  append(script::Mode::kAdjust, *adjustment.charges, {key.view(), adjustment.record_ttl}, batch);
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

CommandBatch give_back_late(const CommandBatch& batch, const BatchResult& result) {
  CommandBatch corrections;
  for (std::size_t i = 0; i < batch.size() && result.ok() && i < result.replies.size(); ++i) {
    const Command command = batch[i];
    const std::vector<Reply>& numbers = result.replies[i].elements();
    const auto count =
        static_cast<std::size_t>(command.script == &kBudgetScript ? command.integers[script::kChargeCount] : 0);
    const bool was_charged = count > 0 &&
                             command.integers[script::kMode] == static_cast<std::int64_t>(script::Mode::kCharge) &&
                             (command.integers[script::kFlags] & script::kHasRecord) == 0 &&
                             numbers.size() == script::kStates + count * script::kStateIntegers &&
                             numbers[script::kAllowed].to_integer() == 1;
    if (!was_charged) continue;
    std::vector<std::string_view> keys(command.keys.size());
    for (std::size_t key = 0; key < keys.size(); ++key) keys[key] = command.keys[key];
    std::vector<std::int64_t> integers{command.integers.begin(), command.integers.end()};
    integers[script::kMode] = static_cast<std::int64_t>(script::Mode::kAdjust);
    for (std::size_t charge = 0; charge < count; ++charge) {
      std::int64_t* const fields = integers.data() + script::kHeader + charge * script::kChargeIntegers;
      const Reply& window = numbers[script::kStates + charge * script::kStateIntegers + script::kChargedWindow];
      fields[script::kCost] = -fields[script::kCost];
      fields[script::kWindow] = window.to_integer().value_or(0);
    }
    corrections.run(kBudgetScript, keys, integers);
  }
  return corrections;
}

std::int64_t amount_of(const Command& command) noexcept {
  std::int64_t amount = 0;
  for (std::size_t cost = script::kHeader + script::kCost; cost < command.integers.size();
       cost += script::kChargeIntegers) {
    amount += std::abs(command.integers[cost]);
  }
  return amount;
}

}  // namespace tollgate::inline v0::decisions
