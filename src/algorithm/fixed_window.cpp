#include "tollgate/algorithm/fixed_window.hpp"

#include <algorithm>
#include <utility>

#include "tollgate/algorithm/scripts.hpp"

namespace tollgate::inline v0::algorithm {
namespace {

/// The first thing that kept an answer away: a failed round trip, an error reply, or too few replies.
Failure find_failure(const BatchResult& result, std::size_t expected) {
  if (!result.ok()) return result.failure;
  for (std::size_t i = 0; i < result.replies.size(); ++i) {
    if (result.replies[i].is_error()) return failure_from_error_reply(result.replies[i].text());
  }
  if (result.replies.size() != expected) return {Errc::kProtocol, false, "not one reply per command"};
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

Decision FixedWindow::deny_locally(const Request& request, bool never_fits) const {
  const auto reset_after = time_to_reset(request.now);
  return {.allowed = false,
          .limit = limit_,
          .retry_after = never_fits ? std::nullopt : std::optional{reset_after},
          .reset_after = reset_after,
          .source = Source::kLocal};
}

Decision FixedWindow::fall_back(const Request& request, bool allowed, std::error_code failure) const {
  return {.allowed = allowed,
          .limit = limit_,
          .reset_after = time_to_reset(request.now),
          .source = Source::kFallback,
          .failure = failure};
}

Answer FixedWindow::decide(const Request& request, bool allowed, std::int64_t used) const {
  const auto reset_after = time_to_reset(request.now);
  Answer answer;
  answer.minute = unix_minute(request.now);
  answer.used = used;
  answer.decision = {.allowed = allowed,
                     .limit = limit_,
                     .remaining = std::clamp<std::int64_t>(limit_ - std::max<std::int64_t>(used, 0), 0, limit_),
                     .retry_after = allowed ? std::nullopt : std::optional{reset_after},
                     .reset_after = reset_after,
                     .source = Source::kRedis};
  return answer;
}

CommandBatch FixedWindow::charge(const Request& request) const {
  const std::int64_t minute = unix_minute(request.now);
  const Key key = counter_key(request.user_id, minute);
  CommandBatch batch;
  if (admission_ == Admission::kPipelined) {
    batch.incr_by(key.view(), request.tokens);
    batch.expire(key.view(), kCounterTtl);
  } else if (request.operation_id.empty()) {
    batch.run(kAdmitScript, key.view(), {request.tokens, limit_, kCounterTtl.count()});
  } else {
    batch.run(kAdmitScript, key.view(), {request.tokens, limit_, kCounterTtl.count(), minute, kOperationTtl.count()},
              Key::operation(key_prefix_, request.user_id, "charge", request.operation_id).view());
  }
  return batch;
}

Answer FixedWindow::read_charge(const Request& request, const BatchResult& result) const {
  if (admission_ == Admission::kPipelined) {
    // Decided on the reply of INCRBY alone: it is the one number that no other client can have come between.
    std::optional<std::int64_t> counter;
    if (!result.replies.empty()) counter = result.replies[0].to_integer();
    if (Failure failure = find_failure(result, 2); failure.code) {
      Answer answer = failed(std::move(failure));
      answer.must_undo = counter.has_value();  // INCRBY was done and EXPIRE refused
      return answer;
    }
    if (!counter) return failed(unexpected_reply());
    const bool allowed = *counter <= limit_;
    Answer answer = decide(request, allowed, allowed ? *counter : *counter - request.tokens);
    answer.must_undo = !allowed;
    return answer;
  }

  if (Failure failure = find_failure(result, 1); failure.code) return failed(std::move(failure));
  const Reply& reply = result.replies[0];
  const bool recorded = reply.elements().size() == 2;
  const auto number = recorded ? reply.elements()[0].to_integer() : reply.to_integer();
  if (!number) return failed(unexpected_reply());
  const bool allowed = *number >= 0;
  Answer answer = decide(request, allowed, allowed ? *number : -1 - *number);
  if (recorded) answer.minute = reply.elements()[1].to_integer().value_or(answer.minute);
  return answer;
}

CommandBatch FixedWindow::look(const Request& request) const {
  CommandBatch batch;
  batch.get(counter_key(request.user_id, unix_minute(request.now)).view());
  return batch;
}

Answer FixedWindow::read_look(const Request& request, const BatchResult& result) const {
  if (Failure failure = find_failure(result, 1); failure.code) return failed(std::move(failure));
  const Reply& reply = result.replies[0];
  const auto counter = reply.is_nil() ? std::optional<std::int64_t>{0} : reply.to_integer();
  if (!counter) return failed({Errc::kWrongType, false, {}, reply.text()});
  const std::int64_t used = std::max<std::int64_t>(*counter, 0);
  return decide(request, request.tokens <= limit_ - used, used);
}

CommandBatch FixedWindow::adjust(std::string_view user_id, std::int64_t minute, std::int64_t tokens, bool window_counts,
                                 std::string_view once_id) const {
  const Key key = counter_key(user_id, minute);
  const std::int64_t ttl = tokens > 0 && window_counts ? kCounterTtl.count() : 0;
  CommandBatch batch;
  if (once_id.empty()) {
    batch.run(kAdjustScript, key.view(), {tokens, ttl});
  } else {
    batch.run(kAdjustScript, key.view(), {tokens, ttl, kOperationTtl.count()},
              Key::operation(key_prefix_, user_id, "adjust", once_id).view());
  }
  return batch;
}

Answer FixedWindow::read_adjust(const Request& request, const BatchResult& result) const {
  if (Failure failure = find_failure(result, 1); failure.code) return failed(std::move(failure));
  const auto counter = result.replies[0].to_integer();
  if (!counter) return failed(unexpected_reply());
  return decide(request, *counter <= limit_, *counter);
}

Failure FixedWindow::read_ping(const BatchResult& result) { return find_failure(result, 1); }

std::optional<CommandBatch> FixedWindow::mend_late_charge(const CommandBatch& charge, const BatchResult& result,
                                                          CallerWasTold told) {
  const Command command = charge[0];
  CommandBatch mending;
  if (!result.ok()) {
    if (command.operation != Operation::kIncrBy || !result.failure.may_have_executed) return std::nullopt;
    mending.expire(command.key, kCounterTtl);
    return mending;
  }
  // The record of an operation says that it was admitted, and its caller may ask again.
  if (told == CallerWasTold::kYes || !command.second_key.empty() || result.replies.empty()) return std::nullopt;
  const auto counter = result.replies[0].to_integer();
  if (!counter || *counter < 0) return std::nullopt;
  mending.run(kAdjustScript, command.key, {-command.integers[0], 0});
  return mending;
}

}  // namespace tollgate::inline v0::algorithm
