#include "decisions/fixed_window.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "decisions/reply_failures.hpp"
#include "values/hash_slot.hpp"
#include "values/parse_integer.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0::decisions {
namespace {

Failure no_counter(const Reply& reply) noexcept {
  try {
    return {Errc::kWrongType, false, "the reply to GET is not a counter", reply.text()};
  } catch (...) {
    return {Errc::kWrongType};
  }
}

Answer failed(Failure failure) noexcept {
  Answer answer;
  answer.failure = std::move(failure);
  return answer;
}

}  // namespace

FixedWindow::FixedWindow(std::int64_t limit, std::string key_prefix, Admission admission)
    : limit_(limit), key_prefix_(std::move(key_prefix)), admission_(admission) {}

Key FixedWindow::counter_key(std::string_view user_id, WindowId window) const noexcept {
  return Key::counter(key_prefix_, user_id, window);
}

RecordPlace FixedWindow::record_place(std::string_view user_id, bool is_cluster) const noexcept {
  const bool share_a_slot = !is_cluster || hash_tag(counter_key(user_id, {}).view());
  return share_a_slot ? RecordPlace::kOfUser : RecordPlace::kOfCounter;
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

Answer FixedWindow::decide(const Request& request, bool allowed, std::int64_t used, bool must_undo) const noexcept {
  const auto reset_after = time_to_reset(request.now);
  Answer answer;
  answer.window = window_at(request.now);
  answer.used = used;
  answer.must_undo = must_undo;
  // Assigned field by field: building a Decision and copying it takes several times as long.
  answer.decision.allowed = allowed;
  answer.decision.limit = limit_;
  answer.decision.remaining = std::clamp<std::int64_t>(limit_ - std::max<std::int64_t>(used, 0), 0, limit_);
  if (!allowed) answer.decision.retry_after = reset_after;
  answer.decision.reset_after = reset_after;
  answer.decision.source = Source::kRedis;
  return answer;
}

void FixedWindow::charge(const Request& request, CommandBatch& batch, RecordPlace place) const {
  const WindowId window = window_at(request.now);
  const Key key = counter_key(request.user_id, window);
  if (admission_ == Admission::kPipelined) {
    batch.incr_by(key.view(), request.tokens);
    batch.expire(key.view(), kCounterTtl);
    return;
  }
  if (request.operation_id.empty()) {
    batch.run(kAdmitScript, key.view(), {request.tokens, limit_, kCounterTtl.count()});
    return;
  }
  const Key record = place == RecordPlace::kOfUser
                         ? Key::operation(key_prefix_, request.user_id, kCharge, request.operation_id)
                         : Key::operation(key_prefix_, request.user_id, window, kCharge, request.operation_id);
  const std::array keys{key.view(), record.view()};
  const std::array integers{request.tokens, limit_, std::int64_t{kCounterTtl.count()}, window.number,
                            std::int64_t{kOperationTtl.count()}};
  batch.run(kAdmitScript, keys, integers);
}

Answer FixedWindow::read_charge(const Request& request, const ReplyRange& replies,
                                std::int64_t inflated_by) const noexcept {
  if (admission_ == Admission::kPipelined) {
    // Decided on the reply of INCRBY, because INCRBY adds and reads in one atomic step.
    std::optional<std::int64_t> counter;
    if (!replies.empty()) counter = replies[0].to_integer();
    if (Failure found = find_failure(replies, {Operation::kIncrBy, Operation::kExpire}); found.code) {
      Answer answer = failed(std::move(found));
      answer.must_undo = counter.has_value();  // INCRBY was executed and EXPIRE refused
      return answer;
    }
    if (!counter) return failed(unexpected_reply());
    if (inflated_by > 0) counter = std::max(*counter, inflated_by) - inflated_by;
    const bool allowed = *counter <= limit_;
    return decide(request, allowed, allowed ? *counter : *counter - request.tokens, !allowed);
  }

  if (Failure found = find_failure(replies, {Operation::kScript}); found.code) return failed(std::move(found));
  const Reply& reply = replies[0];
  const bool recorded = reply.elements().size() == 2;
  const auto number = recorded ? reply.elements()[0].to_integer() : reply.to_integer();
  if (!number) return failed(unexpected_reply());
  const bool allowed = *number >= 0;
  Answer answer = decide(request, allowed, allowed ? *number : -1 - *number);
  if (recorded) answer.window.number = reply.elements()[1].to_integer().value_or(answer.window.number);
  return answer;
}

void FixedWindow::peek(const Request& request, CommandBatch& batch) const {
  batch.get(counter_key(request.user_id, window_at(request.now)).view());
}

Answer FixedWindow::read_peek(const Request& request, const ReplyRange& replies,
                              std::int64_t inflated_by) const noexcept {
  if (Failure found = find_failure(replies, {Operation::kGet}); found.code) return failed(std::move(found));
  const Reply& reply = replies[0];
  const auto counter = reply.is_nil() ? std::optional<std::int64_t>{0} : reply.to_integer();
  if (!counter) return failed(no_counter(reply));
  const std::int64_t used = std::max(*counter, inflated_by) - inflated_by;
  return decide(request, request.tokens <= limit_ - used, used);
}

void FixedWindow::find_records(const Request& request, std::string_view kind, CommandBatch& batch) const {
  const WindowId window = window_at(request.now);
  for (std::int64_t ago = 1; ago <= kEarlierRecords; ++ago) {
    batch.get(Key::operation(key_prefix_, request.user_id, {window.number - ago}, kind, request.operation_id).view());
  }
}

std::optional<Answer> FixedWindow::read_records(const Request& request, const ReplyRange& replies) const noexcept {
  static_assert(kEarlierRecords == 2);
  if (Failure found = find_failure(replies, {Operation::kGet, Operation::kGet}); found.code) {
    return failed(std::move(found));
  }
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].is_nil()) continue;
    const std::string_view record = replies[i].text();  // "<answer> <window>" of a charge, "1" of an adjustment
    const std::size_t space = std::min(record.find(' '), record.size());
    const auto number = detail::parse_integer(record.substr(0, space));
    if (!number) return failed(unexpected_reply());
    Answer answer = decide(request, *number >= 0, *number >= 0 ? *number : -1 - *number);
    answer.window.number =
        detail::parse_integer(record.substr(std::min(space + 1, record.size()))).value_or(answer.window.number);
    return answer;
  }
  return std::nullopt;
}

void FixedWindow::adjust(const Adjustment& adjustment, CommandBatch& batch) const {
  const auto [user_id, window, tokens, window_counts, once_id, place, record_window, record_ttl] = adjustment;
  const Key key = counter_key(user_id, window);
  // What is given back creates no counter; its expiry is set where Redis had refused the EXPIRE of the charge.
  const std::int64_t ttl = tokens <= 0 || window_counts ? kCounterTtl.count() : 0;
  if (once_id.empty()) return batch.run(kAdjustScript, key.view(), {tokens, ttl});
  const Key record = place == RecordPlace::kOfUser
                         ? Key::operation(key_prefix_, user_id, kAdjust, once_id)
                         : Key::operation(key_prefix_, user_id, record_window, kAdjust, once_id);
  const std::array keys{key.view(), record.view()};
  const std::array integers{tokens, ttl, std::int64_t{record_ttl.count()}};
  batch.run(kAdjustScript, keys, integers);
}

void FixedWindow::adjust_without_script(const Adjustment& adjustment, CommandBatch& batch) const {
  const Key key = counter_key(adjustment.user_id, adjustment.window);
  batch.incr_by(key.view(), adjustment.tokens);
  batch.expire(key.view(), kCounterTtl);
}

Answer FixedWindow::read_adjust(const Request& request, const ReplyRange& replies, Scripts scripts) const noexcept {
  const bool by_script = scripts == Scripts::kRun;
  if (Failure found = by_script ? find_failure(replies, {Operation::kScript})
                                : find_failure(replies, {Operation::kIncrBy, Operation::kExpire});
      found.code) {
    Answer answer = failed(std::move(found));
    answer.must_undo = !by_script && !replies.empty() && replies[0].to_integer();
    return answer;
  }
  const auto counter = replies[0].to_integer();
  if (!counter) return failed(unexpected_reply());
  return decide(request, *counter <= limit_, *counter);
}

Failure FixedWindow::read_ping(const ReplyRange& replies) noexcept { return find_failure(replies, {Operation::kPing}); }

CommandBatch FixedWindow::correct_late_charges(const CommandBatch& batch, const BatchResult& result,
                                               PolicyAnswer answer, Scripts scripts) {
  const bool lost = !result.ok() && result.failure.may_have_executed;
  const bool unwanted = result.ok() && answer == PolicyAnswer::kDenied;
  CommandBatch correction;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    if (command.operation == Operation::kIncrBy && lost) correction.expire(command.key, kCounterTtl);
    // An operation with a record was admitted, and its caller may repeat it, so it is not undone.
    const bool is_charge = command.operation == Operation::kIncrBy || command.script == &kAdmitScript;
    if (!is_charge || !unwanted || command.keys.size() > 1 || i >= result.replies.size()) continue;
    const auto counter = result.replies[i].to_integer();
    if (!counter || *counter < 0) continue;
    if (scripts == Scripts::kRun) {
      correction.run(kAdjustScript, command.key, {-command.integers[0], kCounterTtl.count()});
    } else {
      correction.incr_by(command.key, -command.integers[0]);
      correction.expire(command.key, kCounterTtl);
    }
  }
  return correction;
}

}  // namespace tollgate::inline v0::decisions
