#include "tollgate/budget_limiter.hpp"

#include <array>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "limiter_events.hpp"
#include "tally.hpp"
#include "tollgate/algorithm/local_share.hpp"
#include "tollgate/algorithm/reset_scan.hpp"
#include "tollgate/detail/arguments.hpp"

namespace tollgate::inline v0 {

using algorithm::Answer;
using algorithm::DenyMemory;
using algorithm::Request;

namespace {

constexpr std::size_t kShards = 16;

// Other bits of the hash than what lies in a shard takes, or each shard would use one place in sixteen.
std::size_t shard_number(std::string_view user_id) { return (std::hash<std::string_view>{}(user_id) >> 32U) % kShards; }

std::int64_t local_share(const RateLimitConfig& config) {
  return config.local_share.value_or((config.max_tokens_per_minute + 9) / 10);
}

Failure no_memory() noexcept { return {std::make_error_code(std::errc::not_enough_memory)}; }

/// Why something posted was not answered as it should have been.
Failure failure_of(const BatchResult& result) noexcept {
  try {
    if (!result.ok()) return result.failure;
    if (result.replies.empty()) return {Errc::kProtocol, false, "not one reply per command"};
    return failure_from_error_reply(result.replies[0].text());
  } catch (...) {
    return no_memory();
  }
}

}  // namespace

/// Sharded, so that threads asking for different users do not meet. 4096 users of at most 512 bytes: 3 MB at most.
class BudgetLimiter::Memory {
 public:
  explicit Memory(std::chrono::milliseconds duration) {
    for (Shard& shard : shards_) shard.memory.emplace(duration, kUsersPerShard);
  }

  struct Recall {
    DenyMemory::Advice advice = DenyMemory::Advice::kCharge;
    std::uint64_t resets = 0;  // seen when asked; what is learned across a reset is not remembered
  };

  Recall recall(const Request& request, DenyMemory::Time now) {
    Shard& shard = shard_of(request.user_id);
    const std::lock_guard lock{shard.mutex};
    return {shard.memory->advise(request.user_id, algorithm::unix_minute(request.now), request.tokens, now),
            shard.resets};
  }

  template <class Change>
  void remember(std::string_view user_id, std::uint64_t resets, Change change) {
    Shard& shard = shard_of(user_id);
    const std::lock_guard lock{shard.mutex};
    if (shard.resets == resets) change(*shard.memory);
  }

  void forget(std::string_view user_id) {
    Shard& shard = shard_of(user_id);
    const std::lock_guard lock{shard.mutex};
    shard.memory->forget(user_id);
    ++shard.resets;
  }

 private:
  static constexpr std::size_t kUsersPerShard = 256;

  struct Shard {
    std::mutex mutex;
    std::optional<DenyMemory> memory;
    std::uint64_t resets = 0;
  };

  Shard& shard_of(std::string_view user_id) { return shards_[shard_number(user_id)]; }

  std::array<Shard, kShards> shards_;
};

/// Sharded as Memory is: 16 times 4096 places of 16 bytes.
class BudgetLimiter::Share {
 public:
  explicit Share(std::int64_t tokens) {
    for (Shard& shard : shards_) shard.share.emplace(tokens, kPlacesPerShard);
  }

  void use(std::string_view user_id, std::int64_t minute, std::int64_t tokens) {
    Shard& shard = shard_of(user_id);
    const std::lock_guard lock{shard.mutex};
    shard.share->use(user_id, minute, tokens);
  }

  bool grant(std::string_view user_id, std::int64_t minute, std::int64_t tokens) {
    Shard& shard = shard_of(user_id);
    const std::lock_guard lock{shard.mutex};
    return shard.share->grant(user_id, minute, tokens);
  }

 private:
  static constexpr std::size_t kPlacesPerShard = 4096;

  struct Shard {
    std::mutex mutex;
    std::optional<algorithm::LocalShare> share;
  };

  Shard& shard_of(std::string_view user_id) { return shards_[shard_number(user_id)]; }

  std::array<Shard, kShards> shards_;
};

/// Of one kind of posts. `failed` is the event for its kind.
class BudgetLimiter::PostHandler final : public ReplyHandler {
 public:
  PostHandler(EventKind failed, std::shared_ptr<Tally> tally, std::shared_ptr<LimiterEvents> events)
      : failed_(failed), tally_(std::move(tally)), events_(std::move(events)) {}

  void handle(RedisClient& /*client*/, const CommandBatch& batch, const BatchResult& result) noexcept override {
    const bool answered = result.ok() && !result.replies.empty() && !result.replies[0].is_error();
    if (!answered) return lost(tokens_of(batch), failure_of(result));
    if (failing_.load(std::memory_order_relaxed)) failing_.store(false, std::memory_order_relaxed);
  }

  void lost(std::int64_t tokens, const Failure& failure) noexcept {
    tally_->count_undelivered(tokens);
    if (!failing_.exchange(true, std::memory_order_relaxed)) events_->tell(failed_, tokens, failure);
  }

 private:
  // The expiry that mends a lost charge carries seconds, not tokens.
  static std::int64_t tokens_of(const CommandBatch& batch) {
    return batch.empty() || batch[0].operation != Operation::kScript ? 0 : std::abs(batch[0].integers[0]);
  }

  const EventKind failed_;
  const std::shared_ptr<Tally> tally_;
  const std::shared_ptr<LimiterEvents> events_;
  std::atomic<bool> failing_{false};
};

/// Of the expiry that mends one lost charge. It may be set any number of times: when it is lost too, it is sent again.
class BudgetLimiter::Repair final : public ReplyHandler, public std::enable_shared_from_this<Repair> {
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
  // A client pauses between its attempts, so this ends with an injected one alone that only ever fails.
  static constexpr int kMostLosses = 100;

  const std::shared_ptr<PostHandler> repairs_;
  int lost_ = 0;
};

class BudgetLimiter::LateCharge final : public ReplyHandler {
 public:
  LateCharge(algorithm::CallerWasTold told, std::shared_ptr<PostHandler> undos, std::shared_ptr<PostHandler> repairs)
      : told_(told), undos_(std::move(undos)), repairs_(std::move(repairs)) {}

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override {
    const bool to_be_undone = result.ok();
    try {
      if (auto mending = algorithm::FixedWindow::mend_late_charge(batch, result, told_)) {
        if (to_be_undone) return client.post(std::move(*mending), undos_);
        client.post(std::move(*mending), std::make_shared<Repair>(repairs_));
      }
    } catch (...) {
      (to_be_undone ? undos_ : repairs_)->lost(to_be_undone ? batch[0].integers[0] : 0, no_memory());
    }
  }

 private:
  const algorithm::CallerWasTold told_;
  const std::shared_ptr<PostHandler> undos_;
  const std::shared_ptr<PostHandler> repairs_;
};

BudgetLimiter::BudgetLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config)
    : config_((detail::check_config(config), std::move(config))),
      window_(config_.max_tokens_per_minute, config_.key_prefix, config_.admission),
      clock_(config_.clock ? config_.clock : system_clock()),
      client_(std::move(client)),
      memory_(config_.deny_memory.count() == 0
                  ? nullptr
                  : std::make_unique<detail::ForkLocal<Memory>>(
                        [duration = config_.deny_memory](Memory*) { return std::make_unique<Memory>(duration); })),
      share_(config_.on_failure != FailurePolicy::kLocalShare
                 ? nullptr
                 : std::make_unique<detail::ForkLocal<Share>>(
                       [tokens = local_share(config_)](Share*) { return std::make_unique<Share>(tokens); })),
      tally_(std::make_shared<Tally>()),
      events_(std::make_shared<LimiterEvents>(config_.observer, clock_, config_.key_prefix)),
      undos_(std::make_shared<PostHandler>(EventKind::kUndoFailed, tally_, events_)),
      settlements_(std::make_shared<PostHandler>(EventKind::kSettlementFailed, tally_, events_)),
      late_charge_(std::make_shared<LateCharge>(
          config_.on_failure == FailurePolicy::kAllow ? algorithm::CallerWasTold::kYes : algorithm::CallerWasTold::kNo,
          undos_, std::make_shared<PostHandler>(EventKind::kRepairFailed, tally_, events_))) {
  if (!client_) throw std::invalid_argument("tollgate: client is null; it must be a RedisClient");
}

BudgetLimiter::~BudgetLimiter() { events_->limiter_ends(); }

Request BudgetLimiter::request(std::string_view user_id, std::int64_t tokens,
                               const CallOptions& options) const noexcept {
  return {user_id, tokens, clock_->now(), options.operation_id.value_or(std::string_view{})};
}

Outcome BudgetLimiter::conclude(const Request& request, Answer answer) {
  if (answer.failure.code) return fall_back(request, std::move(answer.failure));
  if (share_ && answer.decision.allowed) share_->get().use(request.user_id, answer.minute, request.tokens);
  return {answer.decision, {}, answer.decision.allowed, answer.minute};
}

/// The FailurePolicy's answer. What kAllow lets pass is taken to be charged when it may have been; what is granted from
/// the local share is charged once Redis is back.
Outcome BudgetLimiter::fall_back(const Request& request, Failure failure) {
  const std::int64_t minute = algorithm::unix_minute(request.now);
  bool allowed = config_.on_failure == FailurePolicy::kAllow;
  bool charged = allowed && failure.may_have_executed;
  if (share_ && share_->get().grant(request.user_id, minute, request.tokens)) {
    allowed = charged = true;
    if (request.tokens > 0) post_adjustment(request.user_id, minute, request.tokens, {}, settlements_);
  }
  Decision decision = window_.fall_back(request, allowed, failure.code);
  return {decision, std::move(failure), charged, minute};
}

Outcome BudgetLimiter::consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  const Request request = this->request(user_id, tokens, options);
  if (tokens > config_.max_tokens_per_minute) return {window_.deny_locally(request, true)};
  return tokens == 0 ? conclude(request, ask_look(request, options)) : charge(request, options);
}

Decision BudgetLimiter::decide(Outcome outcome) {
  if (outcome.failure.code && config_.on_failure == FailurePolicy::kThrow) check(std::move(outcome.failure));
  return hand_out(outcome.decision);
}

Decision BudgetLimiter::hand_out(const Decision& decision) noexcept {
  tally_->count(decision);
  events_->deliver();
  return decision;
}

void BudgetLimiter::check(Failure failure) {
  if (failure.code) tally_->count_failed();
  events_->deliver();
  if (failure.code) throw_failure(std::move(failure));
}

Decision BudgetLimiter::denial(Source source, std::errc failure) const noexcept {
  return {.limit = config_.max_tokens_per_minute,
          .reset_after = algorithm::time_to_reset(clock_->now()),
          .source = source,
          .failure = std::make_error_code(failure)};
}

Answer BudgetLimiter::ask_look(const Request& request, const CallOptions& options) {
  const auto era = events_->era();
  Answer answer = window_.read_look(request, client_->execute(window_.look(request), options.deadline, nullptr));
  events_->asked(LimiterEvents::Question::kLook, era, answer.failure);
  return answer;
}

Answer BudgetLimiter::ask_charge(const Request& request, const CallOptions& options) {
  const auto era = events_->era();
  Answer answer =
      window_.read_charge(request, client_->execute(window_.charge(request), options.deadline, late_charge_));
  events_->asked(LimiterEvents::Question::kCharge, era, answer.failure);
  if (answer.failure.may_have_executed) tally_->count_in_doubt(request.tokens);
  return answer;
}

Outcome BudgetLimiter::charge(const Request& request, const CallOptions& options) {
  const std::int64_t minute = algorithm::unix_minute(request.now);
  // An operation with an id may have been admitted already: only Redis knows.
  Memory* const memory = memory_ && request.operation_id.empty() ? &memory_->get() : nullptr;
  const auto asked_at = memory != nullptr ? clock_->steady_now() : DenyMemory::Time{};
  const auto recall = memory != nullptr ? memory->recall(request, asked_at) : Memory::Recall{};
  const auto remember_left = [&](const Answer& answer) {
    if (answer.used > config_.max_tokens_per_minute) return;  // somebody's charge is about to be undone
    memory->remember(request.user_id, recall.resets, [&](DenyMemory& denials) {
      denials.remember_left(request.user_id, minute, config_.max_tokens_per_minute - answer.used, asked_at);
    });
  };

  if (recall.advice == DenyMemory::Advice::kDeny) return {window_.deny_locally(request, false)};
  if (recall.advice == DenyMemory::Advice::kLook) {
    Answer answer = ask_look(request, options);
    if (!answer.failure.code) remember_left(answer);
    if (answer.failure.code || !answer.decision.allowed) return conclude(request, std::move(answer));
  }

  const Answer answer = ask_charge(request, options);
  if (answer.must_undo) post_adjustment(request.user_id, minute, -request.tokens, {}, undos_);
  if (memory != nullptr && !answer.failure.code) {
    if (config_.admission == Admission::kAtomic) {
      if (!answer.decision.allowed) remember_left(answer);
    } else if (!answer.decision.allowed) {
      memory->remember(request.user_id, recall.resets,
                       [&](DenyMemory& denials) { denials.remember_denied(request.user_id, minute, request.tokens); });
    } else if (recall.advice == DenyMemory::Advice::kLook) {
      memory->remember(request.user_id, recall.resets, [&](DenyMemory& denials) {
        denials.remember_admitted(request.user_id, minute, request.tokens);
      });
    }
  }
  return conclude(request, answer);
}

Failure BudgetLimiter::record(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  const Request request = this->request(user_id, tokens, options);
  const CommandBatch batch =
      window_.adjust(user_id, algorithm::unix_minute(request.now), tokens, true, request.operation_id);
  Answer answer = window_.read_adjust(request, client_->execute(batch, options.deadline, nullptr));
  if (answer.failure.may_have_executed) tally_->count_in_doubt(tokens);
  if (share_ && !answer.failure.code) share_->get().use(user_id, answer.minute, tokens);
  return std::move(answer.failure);
}

Failure BudgetLimiter::reset(std::string_view user_id, const CallOptions& options) {
  algorithm::ResetScan scan{config_.key_prefix, std::string{user_id}, current_minute()};
  Failure failure;
  while (!failure.code && !scan.done()) {
    failure = scan.read(client_->execute(scan.next_batch(), options.deadline, nullptr));
  }
  if (memory_) memory_->get().forget(user_id);
  return failure;
}

Failure BudgetLimiter::ping(const CallOptions& options) {
  CommandBatch batch;
  batch.ping();
  return algorithm::FixedWindow::read_ping(client_->execute(batch, options.deadline, nullptr));
}

bool BudgetLimiter::drain(std::chrono::steady_clock::time_point deadline) {
  const bool drained = client_->drain(deadline);
  events_->deliver();
  return drained;
}

void BudgetLimiter::adjust(std::string_view user_id, std::int64_t minute, std::int64_t tokens,
                           std::string_view once_id) noexcept {
  if (tokens < 0 && memory_) memory_->get().forget(user_id);
  post_adjustment(user_id, minute, tokens, once_id, settlements_);
  events_->deliver();
}

void BudgetLimiter::post_adjustment(std::string_view user_id, std::int64_t minute, std::int64_t tokens,
                                    std::string_view once_id, const std::shared_ptr<PostHandler>& handler) noexcept {
  try {
    client_->post(window_.adjust(user_id, minute, tokens, minute == current_minute(), once_id), handler);
  } catch (...) {
    handler->lost(std::abs(tokens), no_memory());
  }
}

void BudgetLimiter::drop(std::int64_t tokens) noexcept {
  tally_->count_dropped();
  events_->reservation_dropped(tokens, current_minute());
  events_->deliver();
}

Stats BudgetLimiter::stats() const {
  Stats stats = tally_->read();
  stats.client = client_->stats();
  return stats;
}

Undelivered BudgetLimiter::undelivered() const noexcept { return tally_->undelivered(); }

}  // namespace tollgate::inline v0
