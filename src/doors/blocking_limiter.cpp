#include "doors/blocking_limiter.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <utility>

#include "values/arguments.hpp"
#include "values/failures.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0 {

using decisions::DecisionFlow;
using decisions::PolicyAnswer;
using decisions::Scripts;

namespace {

constexpr std::array<const Script*, 2> kScripts{&kAdmitScript, &kAdjustScript};

std::int64_t local_share(const RateLimitConfig& config) {
  return config.local_share.value_or((config.max_tokens_per_minute + 9) / 10);
}

std::string_view operation_id(const CallOptions& options) { return options.operation_id.value_or(std::string_view{}); }

}  // namespace

BlockingLimiter::BlockingLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config)
    : config_((detail::check_config(config), std::move(config))),
      flow_(decisions::FixedWindow{config_.max_tokens_per_minute, config_.key_prefix, config_.admission},
            config_.on_failure),
      clock_(config_.clock ? config_.clock : system_clock()),
      client_(std::move(client)),
      memory_(config_.deny_memory.count() == 0 ? nullptr : std::make_unique<LockedDenyMemory>(config_.deny_memory)),
      share_(config_.on_failure != FailurePolicy::kLocalShare
                 ? nullptr
                 : std::make_unique<LockedLocalShare>(local_share(config_))),
      counters_(std::make_shared<LimiterCounters>()),
      events_(std::make_shared<LimiterEvents>(config_.observer, clock_, config_.key_prefix)),
      rights_(std::make_shared<ScriptRights>(clock_, events_)),
      readiness_(kAdjustScript, clock_, counters_, events_, rights_),
      undos_(std::make_shared<PostHandler>(EventKind::kUndoFailed, clock_, counters_, events_, rights_)),
      settlements_(std::make_shared<PostHandler>(EventKind::kSettlementFailed, clock_, counters_, events_, rights_)),
      repairs_(std::make_shared<PostHandler>(EventKind::kRepairFailed, clock_, counters_, events_, rights_)),
      late_charge_(std::make_shared<LateCharge>(
          config_.on_failure == FailurePolicy::kAllow ? PolicyAnswer::kAllowed : PolicyAnswer::kDenied, undos_,
          repairs_, rights_)),
      late_record_(std::make_shared<LateCharge>(PolicyAnswer::kAllowed, undos_, repairs_, rights_)) {
  if (!client_) throw std::invalid_argument("tollgate: client is null; it must be a RedisClient");
  client_->preload(kScripts);
}

BlockingLimiter::~BlockingLimiter() { events_->limiter_ends(); }

/// Requests that the deny memory denies need no round trip.
void BlockingLimiter::start(PendingRequest& pending, std::chrono::steady_clock::time_point now) const {
  const decisions::Request& request = pending.request;
  if (!request.operation_id.empty()) pending.record_place = record_place(request.user_id);
  flow_.start(pending);
  if (pending.uses_deny_memory && memory_) flow_.advise(pending, memory_->advise(pending, now));
}

/// Drives the requests until each has its outcome: one round trip for all, and a second one for those that read the
/// counter first and are then charged.
void BlockingLimiter::run(std::span<PendingRequest> requests, std::chrono::steady_clock::time_point now,
                          const CallOptions& options) {
  for (;;) {
    CommandBatch batch;
    const DecisionFlow::Needs needs = flow_.next_batch(requests, batch);
    if (needs == DecisionFlow::Needs::kNothing) return;
    const auto period = events_->period();
    const auto& late = needs == DecisionFlow::Needs::kRepliesAlsoLate     ? late_charge_
                       : needs == DecisionFlow::Needs::kRepliesRepairLate ? late_record_
                                                                          : no_handler_;
    flow_.resume(requests, client_->execute(batch, options.deadline, late));
    undo(requests);
    for (PendingRequest& pending : requests) carry_out(pending, now, period);
  }
}

/// Applies the effects of the replies to one request: events, counters, deny memory and local share.
void BlockingLimiter::carry_out(PendingRequest& pending, std::chrono::steady_clock::time_point now,
                                LimiterEvents::Period period) noexcept {
  using decisions::Effects;
  const Effects& effects = pending.effects;
  const bool was_asked = effects.asked != Effects::Asked::kNothing;
  if (pending.outcome->failure && (was_asked || pending.is_record)) {
    readiness_.failed(pending.is_record ? decisions::Asked::kNothing : effects.asked, period,
                      *pending.outcome->failure);
  } else if (was_asked) {
    events_->answered(effects.asked, period);
  }
  if (effects.in_doubt) counters_->count_in_doubt(pending.request.tokens);
  if (effects.memory_update != Effects::MemoryUpdate::kNothing && memory_) memory_->update(pending, now);
  if (effects.uses_share && share_) use_share(pending);
  if (pending.record_place == decisions::RecordPlace::kOfCounter) is_cluster_->store(true, std::memory_order_relaxed);
  if (pending.step == PendingRequest::Step::kAwaitLocalShare) ask_local_share(pending);
}

// A forked child makes a new share at its first use; when memory is short then, nothing is granted.
void BlockingLimiter::use_share(const PendingRequest& pending) noexcept try {
  share_->use(pending.request.user_id, pending.outcome->window, pending.request.tokens);
} catch (const std::bad_alloc&) {
}

void BlockingLimiter::ask_local_share(PendingRequest& pending) noexcept {
  const decisions::Request& request = pending.request;
  const WindowId window = decisions::window_at(request.now);
  bool granted = false;
  try {
    granted = share_->grant(request.user_id, window, request.tokens);
  } catch (const std::bad_alloc&) {
  }
  flow_.resume(pending, granted);
  if (granted && request.tokens > 0) {
    post({.user_id = request.user_id,
          .window = window,
          .tokens = request.tokens,
          .window_counts = window == current_window()});
  }
}

/// Posts the undos of charges that were made and then denied.
void BlockingLimiter::undo(std::span<PendingRequest> requests) noexcept {
  const std::int64_t tokens = DecisionFlow::tokens_to_undo(requests);
  if (tokens == 0) return;
  try {
    CommandBatch undos;
    flow_.undo(requests, rights_->scripts(*client_), undos);
    client_->post(std::move(undos), undos_);
  } catch (...) {
    undos_->lost(tokens, no_memory());
  }
}

Outcome BlockingLimiter::consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  Outcome outcome;
  PendingRequest pending{.request = {user_id, tokens, clock_->now(), operation_id(options)}, .outcome = &outcome};
  const auto now = clock_->steady_now();
  start(pending, now);
  if (pending.step != PendingRequest::Step::kDone) run({&pending, 1}, now, options);
  return outcome;
}

std::vector<Decision> BlockingLimiter::consume_all(std::span<const ConsumeRequest> requests,
                                                   const CallOptions& options) {
  std::vector<Decision> decisions;
  std::vector<PendingRequest> pending;
  std::vector<Outcome> outcomes(std::min(requests.size(), kMostPerRoundTrip));
  decisions.reserve(requests.size());  // before any request is sent, so that decisions can always be returned
  pending.reserve(outcomes.size());
  while (decisions.size() < requests.size()) {
    const auto rest = requests.subspan(decisions.size());
    const auto together = rest.first(std::min(rest.size(), kMostPerRoundTrip));
    auto failure = std::errc::io_error;  // an injected client threw
    pending.clear();
    try {
      const auto now = clock_->now();
      const auto steady_now = clock_->steady_now();
      for (const ConsumeRequest& request : together) {
        Outcome& outcome = outcomes[pending.size()] = {};
        PendingRequest& each = pending.emplace_back();
        each.outcome = &outcome;
        if (detail::is_valid(request)) {
          each.request = {request.user_id, request.tokens, now};
          start(each, steady_now);
        } else {
          outcome.decision = denial(Source::kLocal, std::errc::invalid_argument);
        }
      }
      run(pending, steady_now, options);
    } catch (const std::bad_alloc&) {
      failure = std::errc::not_enough_memory;
    } catch (...) {
    }
    for (std::size_t i = 0; i < together.size(); ++i) {
      const bool decided = i < pending.size() && pending[i].step == PendingRequest::Step::kDone;
      decisions.push_back(finish(decided ? outcomes[i].decision : denial(Source::kFallback, failure)));
    }
  }
  return decisions;
}

Decision BlockingLimiter::finish_or_throw(Outcome outcome) {
  if (outcome.failure && config_.on_failure == FailurePolicy::kThrow) check(std::move(*outcome.failure));
  return finish(outcome.decision);
}

Decision BlockingLimiter::finish(const Decision& decision) noexcept {
  counters_->count(decision);
  events_->deliver();
  return decision;
}

void BlockingLimiter::check(Failure failure) {
  if (failure.code) counters_->count_failed();
  events_->deliver();
  if (failure.code) throw_failure(std::move(failure));
}

Decision BlockingLimiter::denial(Source source, std::errc failure) const noexcept {
  return {.limit = config_.max_tokens_per_minute,
          .reset_after = decisions::time_to_reset(clock_->now()),
          .source = source,
          .failure = std::make_error_code(failure)};
}

Failure BlockingLimiter::record(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  Outcome outcome;
  PendingRequest pending{.request = {user_id, tokens, clock_->now(), operation_id(options)},
                         .outcome = &outcome,
                         .scripts = rights_->scripts(*client_),
                         .record_place = record_place(user_id)};
  flow_.start_record(pending);
  run({&pending, 1}, clock_->steady_now(), options);
  return std::move(outcome.failure).value_or(Failure{});
}

Failure BlockingLimiter::reset(std::string_view user_id, decisions::ResetScan::Reach reach,
                               const CallOptions& options) {
  decisions::ResetScan scan{config_.key_prefix, std::string{user_id}, current_window(), reach};
  Failure failure;
  while (!failure.code && !scan.done()) {
    failure = scan.read(client_->execute(scan.next_batch(), options.deadline, nullptr));
  }
  if (memory_) memory_->forget(user_id);
  return failure;
}

bool BlockingLimiter::drain(std::chrono::steady_clock::time_point deadline) {
  const bool drained = client_->drain(deadline);
  events_->deliver();
  return drained;
}

void BlockingLimiter::settle(const decisions::Settlement& settlement) noexcept {
  const WindowId now = current_window();
  if (decisions::is_too_late(settlement, now)) {
    settlements_->lost(settlement.tokens, detail::failure(Errc::kTimeout, false,
                                                          "a shared reservation was settled later than an hour after "
                                                          "its minute, so its excess was not charged"));
  } else {
    post(decisions::adjustment(settlement, now, record_place(settlement.user_id)));
  }
  // Afterwards: a peek that was answered before the post must not be remembered.
  try {
    if (settlement.tokens < 0 && memory_) memory_->forget_left(settlement.user_id);
  } catch (const std::bad_alloc&) {  // a forked child could not make its deny memory, which would be empty
  }
  events_->deliver();
}

void BlockingLimiter::post(const decisions::Adjustment& adjustment) noexcept {
  try {
    if (!adjustment.once_id.empty()) {
      return OnceSettlement::post(*client_, adjustment, flow_.window(), settlements_, is_cluster_);
    }
    CommandBatch batch;
    if (rights_->scripts(*client_) == Scripts::kRun) {
      flow_.window().adjust(adjustment, batch);
    } else if (adjustment.window_counts) {
      flow_.window().adjust_without_script(adjustment, batch);
    } else {
      return;  // nothing counts in a window that has ended
    }
    client_->post(std::move(batch), settlements_);
  } catch (...) {
    settlements_->lost(std::abs(adjustment.tokens), no_memory());
  }
}

void BlockingLimiter::drop(std::int64_t tokens) noexcept {
  counters_->count_dropped();
  events_->reservation_dropped(tokens, current_window());
  events_->deliver();
}

Stats BlockingLimiter::stats() const {
  Stats stats = counters_->read();
  stats.client = client_->stats();
  return stats;
}

Undelivered BlockingLimiter::undelivered() const noexcept { return counters_->undelivered(); }

}  // namespace tollgate::inline v0
