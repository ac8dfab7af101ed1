#include "decisions/fixed_window.hpp"

#include <algorithm>
#include <utility>

#include "decisions/scripts.hpp"

namespace tollgate::inline v0::decisions {
namespace {

/// The first thing that kept an answer away: a failed round trip, an error reply, or not as many replies as commands.
Failure find_failure(const ReplyRange& replies, std::size_t expected) {
  if (replies.failure().code) return replies.failure();
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].is_error()) return failure_from_error_reply(replies[i].text());
  }
  if (replies.size() != expected) return {Errc::kProtocol, false, "not one reply per command"};
  return {};
}

Failure unexpected_reply() { return {Errc::kProtocol, false, "a reply is not of the expected kind"}; }

Answer failed(Failure failure) {
  Answer answer;
  answer.failure = std::move(failure);
  return answer;
}

}  // namespace

FixedWindow::FixedWindow(std::int64_t limit, std::string key_prefix, Admission admission)
    : limit_(limit), key_prefix_(std::move(key_prefix)), admission_(admission) {}

Key FixedWindow::counter_key(std::string_view user_id, std::int64_t minute) const noexcept {
  return Key::counter(key_prefix_, user_id, minute);
}

void FixedWindow::deny_locally(const Request& request, bool never_fits, Decision& decision) const {
  const auto reset_after = time_to_reset(request.now);
  decision.limit = limit_;
  if (!never_fits) decision.retry_after = reset_after;
  decision.reset_after = reset_after;
  decision.source = Source::kLocal;
}

Decision FixedWindow::fall_back(const Request& request, bool allowed, std::error_code failure) const {
  return {.allowed = allowed,
          .limit = limit_,
          .reset_after = time_to_reset(request.now),
          .source = Source::kFallback,
          .failure = failure};
}

Answer FixedWindow::decide(const Request& request, bool allowed, std::int64_t used, bool must_undo) const {
  const auto reset_after = time_to_reset(request.now);
  Answer answer;
  answer.minute = unix_minute(request.now);
  answer.used = used;
  answer.must_undo = must_undo;
  // Field by field: to build a Decision and copy it takes several times as long.
  answer.decision.allowed = allowed;
  answer.decision.limit = limit_;
  answer.decision.remaining = std::clamp<std::int64_t>(limit_ - std::max<std::int64_t>(used, 0), 0, limit_);
  if (!allowed) answer.decision.retry_after = reset_after;
  answer.decision.reset_after = reset_after;
  answer.decision.source = Source::kRedis;
  return answer;
}

void FixedWindow::charge(const Request& request, CommandBatch& batch) const {
  const std::int64_t minute = unix_minute(request.now);
  const Key key = counter_key(request.user_id, minute);
  if (admission_ == Admission::kPipelined) {
    batch.incr_by(key.view(), request.tokens);
    batch.expire(key.view(), kCounterTtl);
  } else if (request.operation_id.empty()) {
    batch.run(kAdmitScript, key.view(), {request.tokens, limit_, kCounterTtl.count()});
  } else {
    batch.run(kAdmitScript, key.view(), {request.tokens, limit_, kCounterTtl.count(), minute, kOperationTtl.count()},
              Key::operation(key_prefix_, request.user_id, "charge", request.operation_id).view());
  }
}

Answer FixedWindow::read_charge(const Request& request, const ReplyRange& replies, std::int64_t inflated_by) const {
  if (admission_ == Admission::kPipelined) {
    // Decided on the reply of INCRBY alone: it is the one number that no other client can have come between.
    std::optional<std::int64_t> counter;
    if (!replies.empty()) counter = replies[0].to_integer();
    if (Failure failure = find_failure(replies, 2); failure.code) {
      Answer answer = failed(std::move(failure));
      answer.must_undo = counter.has_value();  // INCRBY was done and EXPIRE refused
      return answer;
    }
    if (!counter) return failed(unexpected_reply());
    if (inflated_by > 0) counter = std::max(*counter, inflated_by) - inflated_by;
    const bool allowed = *counter <= limit_;
    return decide(request, allowed, allowed ? *counter : *counter - request.tokens, !allowed);
  }

  if (Failure failure = find_failure(replies, 1); failure.code) return failed(std::move(failure));
  const Reply& reply = replies[0];
  const bool recorded = reply.elements().size() == 2;
  const auto number = recorded ? reply.elements()[0].to_integer() : reply.to_integer();
  if (!number) return failed(unexpected_reply());
  const bool allowed = *number >= 0;
  Answer answer = decide(request, allowed, allowed ? *number : -1 - *number);
  if (recorded) answer.minute = reply.elements()[1].to_integer().value_or(answer.minute);
  return answer;
}

void FixedWindow::look(const Request& request, CommandBatch& batch) const {
  batch.get(counter_key(request.user_id, unix_minute(request.now)).view());
}

Answer FixedWindow::read_look(const Request& request, const ReplyRange& replies, std::int64_t inflated_by) const {
  if (Failure failure = find_failure(replies, 1); failure.code) return failed(std::move(failure));
  const Reply& reply = replies[0];
  const auto counter = reply.is_nil() ? std::optional<std::int64_t>{0} : reply.to_integer();
  if (!counter) return failed({Errc::kWrongType, false, {}, reply.text()});
  const std::int64_t used = std::max(*counter, inflated_by) - inflated_by;
  return decide(request, request.tokens <= limit_ - used, used);
}

void FixedWindow::adjust(std::string_view user_id, std::int64_t minute, std::int64_t tokens, bool window_counts,
                         std::string_view once_id, CommandBatch& batch) const {
  const Key key = counter_key(user_id, minute);
  const std::int64_t ttl = tokens > 0 && window_counts ? kCounterTtl.count() : 0;
  if (once_id.empty()) {
    batch.run(kAdjustScript, key.view(), {tokens, ttl});
  } else {
    batch.run(kAdjustScript, key.view(), {tokens, ttl, kOperationTtl.count()},
              Key::operation(key_prefix_, user_id, "adjust", once_id).view());
  }
}

Answer FixedWindow::read_adjust(const Request& request, const ReplyRange& replies) const {
  if (Failure failure = find_failure(replies, 1); failure.code) return failed(std::move(failure));
  const auto counter = replies[0].to_integer();
  if (!counter) return failed(unexpected_reply());
  return decide(request, *counter <= limit_, *counter);
}

Failure FixedWindow::read_ping(const ReplyRange& replies) { return find_failure(replies, 1); }

CommandBatch FixedWindow::mend_late_charges(const CommandBatch& batch, const BatchResult& result, CallerWasTold told) {
  const bool lost = !result.ok() && result.failure.may_have_executed;
  const bool unwanted = result.ok() && told == CallerWasTold::kNo;
  CommandBatch mending;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    if (command.operation == Operation::kIncrBy && lost) mending.expire(command.key, kCounterTtl);
    // The record of an operation says that it was admitted, and its caller may ask again.
    const bool is_charge = command.operation == Operation::kIncrBy || command.script == &kAdmitScript;
    if (!is_charge || !unwanted || !command.second_key.empty() || i >= result.replies.size()) continue;
    const auto counter = result.replies[i].to_integer();
    if (counter && *counter >= 0) mending.run(kAdjustScript, command.key, {-command.integers[0], 0});
  }
  return mending;
}

}  // namespace tollgate::inline v0::decisions
