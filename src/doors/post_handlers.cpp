#include "doors/post_handlers.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>

#include "decisions/budget_flow.hpp"
#include "values/failures.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0 {
namespace {

using decisions::FixedWindow;
using std::chrono::milliseconds;

/// The tokens of a charge or an adjustment; an expiry has none.
std::int64_t tokens_of(const Command& command) noexcept {
  if (command.script == &kBudgetScript) return decisions::amount_of(command);
  const bool carries_tokens = command.operation == Operation::kIncrBy || command.operation == Operation::kScript;
  return carries_tokens && !command.integers.empty() ? std::abs(command.integers[0]) : 0;
}

std::int64_t tokens_of(const CommandBatch& batch) noexcept {
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) tokens += tokens_of(batch[i]);
  return tokens;
}

/// Errors with which Redis refuses a command temporarily, before it executes anything.
bool is_refused_for_a_while(const Failure& failure) noexcept {
  if (failure.may_have_executed) return false;
  return failure.code == Errc::kOutOfMemory || failure.code == Errc::kLoading || failure.code == Errc::kBusy ||
         failure.code == Errc::kReadOnly;
}

bool refuses_the_script(const Command& command, const Failure& failure) noexcept {
  return command.script == &kAdjustScript && command.keys.size() == 1 && detail::refuses_scripts(failure);
}

milliseconds pause_before(int attempts) noexcept {
  constexpr milliseconds kFirst{100};
  constexpr milliseconds kLongest{5000};
  return std::min(kLongest, kFirst * (1 << std::min(attempts, 6)));
}

/// The handler of a repair, which sets the expiry of one lost charge. An expiry may be set any number of times, so a
/// lost repair is sent again.
class Repair final : public ReplyHandler, public std::enable_shared_from_this<Repair> {
 public:
  explicit Repair(std::shared_ptr<PostHandler> repairs) : repairs_(std::move(repairs)) {}

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override {
    try {
      if (result.failure.may_have_executed && ++lost_ < kMostLosses) return client.post(batch, shared_from_this());
    } catch (...) {  // no memory
    }
    repairs_->handle(client, batch, result);
  }

 private:
  // A client pauses between its attempts to connect; this limit is for an injected client that always fails.
  static constexpr int kMostLosses = 100;

  const std::shared_ptr<PostHandler> repairs_;
  int lost_ = 0;
};

}  // namespace

Failure no_memory() noexcept { return {std::make_error_code(std::errc::not_enough_memory)}; }

Failure failure_of(const CommandBatch& batch, const BatchResult& result, std::size_t index) noexcept {
  try {
    if (!result.ok()) return result.failure;
    if (index >= result.replies.size()) return {Errc::kProtocol, false, "not one reply per command"};
    const Reply& reply = result.replies[index];
    if (!reply.is_error()) return {};
    return failure_from_error_reply(reply.text(), name_of(batch[index].operation));
  } catch (...) {
    return no_memory();
  }
}

/// The handler of a batch that is posted again.
struct PostHandler::Retry final : ReplyHandler {
  Retry(std::shared_ptr<PostHandler> posts, int times) : handler(std::move(posts)), attempts(times) {}

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override {
    handler->handle_attempt(client, batch, result, attempts);
  }

  const std::shared_ptr<PostHandler> handler;
  const int attempts;
};

PostHandler::PostHandler(EventKind failed, std::shared_ptr<const Clock> clock,
                         std::shared_ptr<LimiterCounters> counters, std::shared_ptr<LimiterEvents> events,
                         std::shared_ptr<ScriptRights> rights)
    : failed_(failed),
      clock_(std::move(clock)),
      counters_(std::move(counters)),
      events_(std::move(events)),
      rights_(std::move(rights)) {}

void PostHandler::handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept {
  handle_attempt(client, batch, result, 0);
}

PostHandler::Again PostHandler::how_to_repeat(const Command& command, const Failure& failure,
                                              int attempts) const noexcept {
  if (attempts >= kMostAttempts) return Again::kNo;
  if (command.operation == Operation::kIncrBy && failure.may_have_executed) return Again::kExpiryAlone;
  const bool without_script = refuses_the_script(command, failure);
  if (!without_script && !is_refused_for_a_while(failure)) return Again::kNo;
  // A budget's script finds out by itself whether a window still counts.
  if (command.script == &kBudgetScript) return Again::kLater;
  const auto window = decisions::window_of_counter(command.key);
  if (!window || *window < decisions::window_at(clock_->now())) return Again::kNo;
  return without_script ? Again::kWithoutScript : Again::kLater;
}

void PostHandler::handle_attempt(RedisClient& client, const CommandBatch& batch, const BatchResult& result,
                                 int attempts) noexcept {
  std::int64_t tokens = 0;
  std::optional<Failure> first;
  CommandBatch later;
  CommandBatch at_once;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    if (result.ok() && i < result.replies.size() && !result.replies[i].is_error()) {
      if (command.operation == Operation::kScript) rights_->answered();
      continue;
    }
    Failure failure = failure_of(batch, result, i);
    try {
      switch (how_to_repeat(command, failure, attempts)) {
        case Again::kLater:
          later.append(command);
          if (command.operation == Operation::kIncrBy) later.expire(command.key, decisions::kCounterTtl);
          continue;
        case Again::kWithoutScript:
          rights_->refused(failure);
          at_once.incr_by(command.key, command.integers[0]);
          at_once.expire(command.key, decisions::kCounterTtl);
          continue;
        case Again::kExpiryAlone: at_once.expire(command.key, decisions::kCounterTtl); break;
        case Again::kNo: break;
      }
    } catch (...) {  // no memory to repeat it
    }
    tokens += tokens_of(command);
    if (!first) first = std::move(failure);
  }
  const bool repeats = !later.empty() || !at_once.empty();
  const std::int64_t not_repeated =
      repeat(client, std::move(later), true, attempts) + repeat(client, std::move(at_once), false, attempts);
  if (not_repeated > 0 && !first) first = no_memory();
  if (first) return lost(tokens + not_repeated, *first);
  if (!repeats && failing_.load(std::memory_order_relaxed)) failing_.store(false, std::memory_order_relaxed);
}

/// Returns the tokens of `batch` when it could not be posted.
std::int64_t PostHandler::repeat(RedisClient& client, CommandBatch batch, bool later, int attempts) noexcept {
  if (batch.empty()) return 0;
  const std::int64_t tokens = tokens_of(batch);
  try {
    auto handler = std::make_shared<Retry>(shared_from_this(), attempts + 1);
    if (!later) {
      client.post(std::move(batch), std::move(handler));
    } else {
      const auto not_before = std::chrono::steady_clock::now() + pause_before(attempts);
      client.post_at(not_before, std::move(batch), std::move(handler));
    }
    return 0;
  } catch (...) {
    return tokens;
  }
}

void PostHandler::lost(std::int64_t tokens, const Failure& failure) noexcept {
  counters_->count_undelivered(tokens);
  if (!failing_.exchange(true, std::memory_order_relaxed)) events_->report(failed_, tokens, failure);
}

LateCharge::LateCharge(decisions::PolicyAnswer answer, std::shared_ptr<PostHandler> undos,
                       std::shared_ptr<PostHandler> repairs, std::shared_ptr<ScriptRights> rights)
    : answer_(answer), undos_(std::move(undos)), repairs_(std::move(repairs)), rights_(std::move(rights)) {}

void LateCharge::handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept {
  const bool to_be_undone = result.ok();
  try {
    CommandBatch correction = FixedWindow::correct_late_charges(batch, result, answer_, rights_->scripts(client));
    if (correction.empty()) return;
    if (to_be_undone) return client.post(std::move(correction), undos_);
    client.post(std::move(correction), std::make_shared<Repair>(repairs_));
  } catch (...) {
    (to_be_undone ? undos_ : repairs_)->lost(to_be_undone ? tokens_of(batch) : 0, no_memory());
  }
}

OnceSettlement::OnceSettlement(const decisions::Adjustment& adjustment, FixedWindow window,
                               std::shared_ptr<PostHandler> settlements, std::shared_ptr<std::atomic<bool>> is_cluster)
    : user_id_(adjustment.user_id),
      once_id_(adjustment.once_id),
      adjustment_(adjustment),
      window_(std::move(window)),
      settlements_(std::move(settlements)),
      is_cluster_(std::move(is_cluster)) {
  adjustment_.user_id = user_id_;
  adjustment_.once_id = once_id_;
}

void OnceSettlement::post(RedisClient& client, const decisions::Adjustment& adjustment, const FixedWindow& window,
                          std::shared_ptr<PostHandler> settlements, std::shared_ptr<std::atomic<bool>> is_cluster) {
  std::make_shared<OnceSettlement>(adjustment, window, std::move(settlements), std::move(is_cluster))->post(client);
}

void OnceSettlement::post(RedisClient& client) {
  decisions::Adjustment next = adjustment_;
  records_first_ = next.place == decisions::RecordPlace::kOfCounter && next.window != next.record_window;
  if (records_first_) {
    next.window = next.record_window;
    next.tokens = 0;
  }
  CommandBatch batch;
  window_.adjust(next, batch);
  client.post(std::move(batch), shared_from_this());
}

void OnceSettlement::handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept {
  try {
    if (records_first_) return charge_after_record(client, batch, result);
    const bool refused = failure_of(batch, result, 0).code == Errc::kCrossSlot;
    if (!refused || adjustment_.place == decisions::RecordPlace::kOfCounter) {
      return settlements_->handle(client, batch, result);
    }
    is_cluster_->store(true, std::memory_order_relaxed);
    adjustment_.place = decisions::RecordPlace::kOfCounter;
    post(client);
  } catch (...) {
    settlements_->lost(std::abs(adjustment_.tokens), no_memory());
  }
}

void OnceSettlement::charge_after_record(RedisClient& client, const CommandBatch& batch, const BatchResult& result) {
  if (const Failure failure = failure_of(batch, result, 0); failure.code) {
    return settlements_->lost(std::abs(adjustment_.tokens), failure);
  }
  if (result.replies[0].to_integer() == kAlreadyAdjusted) return;
  decisions::Adjustment charge = adjustment_;
  charge.once_id = {};
  CommandBatch charging;
  window_.adjust(charge, charging);
  client.post(std::move(charging), settlements_);
}

}  // namespace tollgate::inline v0
