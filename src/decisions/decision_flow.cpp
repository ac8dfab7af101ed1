#include "decisions/decision_flow.hpp"

#include <limits>
#include <utility>

#include "values/failures.hpp"

namespace tollgate::inline v0::decisions {
namespace {

using Asked = Effects::Asked;
using MemoryUpdate = Effects::MemoryUpdate;
using Step = PendingRequest::Step;

/// The tokens that `earlier` requests added to the user's counter and that will be undone.
std::int64_t inflation(std::span<const PendingRequest> earlier, std::string_view user_id) noexcept {
  std::int64_t tokens = 0;
  for (const PendingRequest& pending : earlier) {
    if (pending.must_undo && pending.request.user_id == user_id) tokens += pending.request.tokens;
  }
  return tokens;
}

}  // namespace

void DecisionFlow::start_record(PendingRequest& pending) const {
  pending.is_record = true;
  if (!pending.request.operation_id.empty())
    pending.scripts = Scripts::kRun;  // only a script can execute an operation once
  pending.step = first_charge_step(pending);
}

DecisionFlow::Needs DecisionFlow::next_batch(std::span<PendingRequest> requests, CommandBatch& batch) const {
  Needs needs = Needs::kNothing;
  for (PendingRequest& pending : requests) {
    const Request& request = pending.request;
    pending.first_command = batch.size();
    if (pending.step == Step::kCharge) {
      window_.charge(request, batch, pending.record_place);
      needs = Needs::kRepliesAlsoLate;
    } else if (pending.step == Step::kPeek) {
      window_.peek(request, batch);
    } else if (pending.step == Step::kFindRecord) {
      window_.find_records(request, pending.is_record ? FixedWindow::kAdjust : FixedWindow::kCharge, batch);
    } else if (pending.step == Step::kRecord) {
      const WindowId now = window_at(request.now);
      const Adjustment adjustment{request.user_id,      now, request.tokens, true, request.operation_id,
                                  pending.record_place, now};
      if (pending.scripts == Scripts::kRun) {
        window_.adjust(adjustment, batch);
      } else {
        window_.adjust_without_script(adjustment, batch);
        needs = Needs::kRepliesRepairLate;
      }
    }
  }
  return batch.empty() || needs != Needs::kNothing ? needs : Needs::kReplies;
}

void DecisionFlow::resume(std::span<PendingRequest> requests, const BatchResult& result) const noexcept {
  bool undoes = false;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    PendingRequest& pending = requests[i];
    pending.effects = {};
    // Surplus replies go to the last request, which then fails.
    const std::size_t end =
        i + 1 < requests.size() ? requests[i + 1].first_command : std::numeric_limits<std::size_t>::max();
    const ReplyRange replies{result, pending.first_command, end - pending.first_command};
    const std::int64_t inflated_by = undoes ? inflation(requests.first(i), pending.request.user_id) : 0;
    switch (pending.step) {
      case Step::kPeek: read_peek(pending, replies, inflated_by); break;
      case Step::kFindRecord: read_records(pending, replies); break;
      case Step::kCharge:
        read_charge(pending, replies, inflated_by);
        undoes = undoes || pending.must_undo;
        break;
      case Step::kRecord: read_record(pending, replies); break;
      case Step::kAwaitLocalShare:
      case Step::kDone: break;
    }
  }
}

void DecisionFlow::read_peek(PendingRequest& pending, const ReplyRange& replies,
                             std::int64_t inflated_by) const noexcept {
  Answer answer = window_.read_peek(pending.request, replies, inflated_by);
  pending.effects.asked = Asked::kPeek;
  if (!answer.failure.code) note_left(pending, answer);
  if (!answer.failure.code && answer.decision.allowed && pending.request.tokens > 0) {
    pending.step = Step::kCharge;
  } else {
    conclude(pending, answer);
  }
}

void DecisionFlow::read_charge(PendingRequest& pending, const ReplyRange& replies,
                               std::int64_t inflated_by) const noexcept {
  Answer answer = window_.read_charge(pending.request, replies, inflated_by);
  if (finds_a_cluster(pending, answer)) return;
  pending.effects.asked = Asked::kCharge;
  pending.effects.in_doubt = answer.failure.may_have_executed;
  if (!answer.failure.code) note_charge(pending, answer);
  pending.must_undo = answer.must_undo;
  conclude(pending, answer);
}

void DecisionFlow::read_records(PendingRequest& pending, const ReplyRange& replies) const noexcept {
  std::optional<Answer> found = window_.read_records(pending.request, replies);
  if (!pending.is_record) pending.effects.asked = Asked::kPeek;
  if (found) return conclude(pending, *found);
  pending.step = pending.is_record ? Step::kRecord : Step::kCharge;
}

void DecisionFlow::read_record(PendingRequest& pending, const ReplyRange& replies) const noexcept {
  Answer answer = window_.read_adjust(pending.request, replies, pending.scripts);
  if (finds_a_cluster(pending, answer) || does_without_script(pending, answer)) return;
  pending.must_undo = answer.must_undo;
  pending.effects.in_doubt = answer.failure.may_have_executed;
  conclude(pending, answer);
}

/// Whether a Cluster has refused a script because the operation's record is in another slot than the counter. Nothing
/// was executed then.
bool DecisionFlow::finds_a_cluster(PendingRequest& pending, const Answer& answer) noexcept {
  if (answer.failure.code != Errc::kCrossSlot || pending.record_place == RecordPlace::kOfCounter) return false;
  pending.record_place = RecordPlace::kOfCounter;
  pending.step = first_charge_step(pending);
  return true;
}

/// Whether the server has refused a script that INCRBY and EXPIRE can replace. Nothing was executed then.
bool DecisionFlow::does_without_script(PendingRequest& pending, const Answer& answer) noexcept {
  const bool replaceable = pending.scripts == Scripts::kRun && pending.request.operation_id.empty();
  if (!replaceable || !detail::refuses_scripts(answer.failure)) return false;
  pending.scripts = Scripts::kRefused;
  return true;
}

void DecisionFlow::note_left(PendingRequest& pending, const Answer& answer) const noexcept {
  // A counter above the limit contains a charge that will be undone.
  if (!pending.uses_deny_memory || answer.used > window_.limit()) return;
  pending.effects.memory_update = MemoryUpdate::kLeft;
  pending.effects.left = window_.limit() - answer.used;
}

void DecisionFlow::note_charge(PendingRequest& pending, const Answer& answer) const noexcept {
  if (!pending.uses_deny_memory) return;
  const bool denied = !answer.decision.allowed;
  if (window_.admission() == Admission::kAtomic) {
    if (denied) note_left(pending, answer);
  } else if (denied) {
    pending.effects.memory_update = MemoryUpdate::kDenied;
  } else if (pending.peeks_first) {
    pending.effects.memory_update = MemoryUpdate::kAdmitted;
  }
}

void DecisionFlow::conclude(PendingRequest& pending, Answer& answer) const noexcept {
  Outcome& outcome = *pending.outcome;
  pending.step = Step::kDone;
  if (answer.failure.code) {
    outcome.failure = std::move(answer.failure);
    if (pending.is_record) return;
    // The counter is on another node of the Cluster, which may be reachable, so the local share must not decide.
    const bool ask_share = on_failure_ == FailurePolicy::kLocalShare && outcome.failure->code != Errc::kMoved;
    if (ask_share) {
      pending.step = Step::kAwaitLocalShare;
    } else {
      apply_policy(pending, false);
    }
    return;
  }
  outcome.decision = answer.decision;
  outcome.charged = answer.decision.allowed;
  outcome.window = answer.window;
  pending.effects.uses_share = outcome.charged || pending.is_record;
}

void DecisionFlow::resume(PendingRequest& pending, bool granted) const noexcept { apply_policy(pending, granted); }

/// A request that kAllow admits counts as charged when its charge may have been executed. A grant of the local share is
/// charged when Redis is reachable again. MOVED is not an outage, so no policy admits the request.
void DecisionFlow::apply_policy(PendingRequest& pending, bool granted) const noexcept {
  Outcome& outcome = *pending.outcome;
  const Failure& failure = *outcome.failure;
  const bool allowed = granted || (on_failure_ == FailurePolicy::kAllow && failure.code != Errc::kMoved);
  outcome.decision = window_.fall_back(pending.request, allowed, failure.code);
  const bool may_be_charged = failure.may_have_executed && pending.effects.asked == Asked::kCharge;
  outcome.charged = granted || (allowed && may_be_charged);
  outcome.window = window_at(pending.request.now);
  pending.step = Step::kDone;
}

std::int64_t DecisionFlow::tokens_to_undo(std::span<const PendingRequest> requests) noexcept {
  std::int64_t tokens = 0;
  for (const PendingRequest& pending : requests) {
    if (pending.must_undo) tokens += pending.request.tokens;
  }
  return tokens;
}

std::int64_t DecisionFlow::undo(std::span<PendingRequest> requests, Scripts scripts, CommandBatch& batch) const {
  std::int64_t tokens = 0;
  for (PendingRequest& pending : requests) {
    if (!std::exchange(pending.must_undo, false)) continue;
    const Request& request = pending.request;
    const WindowId window = window_at(request.now);
    const Adjustment adjustment{request.user_id, window, -request.tokens, true};
    scripts == Scripts::kRun ? window_.adjust(adjustment, batch) : window_.adjust_without_script(adjustment, batch);
    tokens += request.tokens;
  }
  return tokens;
}

}  // namespace tollgate::inline v0::decisions
