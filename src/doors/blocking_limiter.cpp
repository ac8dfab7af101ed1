#include "doors/blocking_limiter.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "decisions/local_share.hpp"
#include "decisions/reset_scan.hpp"
#include "doors/limiter_counters.hpp"
#include "doors/limiter_events.hpp"
#include "values/arguments.hpp"

namespace tollgate::inline v0 {

using decisions::Answer;
using decisions::DenyMemory;
using decisions::Request;

namespace {

constexpr std::size_t kShards = 16;

// Other bits of the hash than what lies in a shard takes, or each shard would use one place in sixteen.
std::size_t shard_number(std::size_t hash) { return (hash >> 32U) % kShards; }

std::int64_t local_share(const RateLimitConfig& config) {
  return config.local_share.value_or((config.max_tokens_per_minute + 9) / 10);
}

Failure no_memory() noexcept { return {std::make_error_code(std::errc::not_enough_memory)}; }

/// Why command number `index` of something posted was not answered as it should have been.
Failure failure_of(const BatchResult& result, std::size_t index) noexcept {
  try {
    if (!result.ok()) return result.failure;
    if (index >= result.replies.size()) return {Errc::kProtocol, false, "not one reply per command"};
    return failure_from_error_reply(result.replies[index].text());
  } catch (...) {
    return no_memory();
  }
}

/// What a charge or an adjustment is about; the expiry that mends a lost charge carries seconds, not tokens.
std::int64_t tokens_of(const Command& command) noexcept {
  const bool carries_tokens = command.operation == Operation::kIncrBy || command.operation == Operation::kScript;
  return carries_tokens ? std::abs(command.integers[0]) : 0;
}

}  // namespace

/// Sharded, so that threads asking for different users do not meet. 4096 users of at most 512 bytes: 3 MB at most.
class BlockingLimiter::Memory {
 public:
  explicit Memory(std::chrono::milliseconds duration) {
    for (Shard& shard : shards_) shard.memory.emplace(duration, kUsersPerShard);
  }

  struct Recall {
    DenyMemory::Advice advice = DenyMemory::Advice::kCharge;
    std::uint64_t resets = 0;  // seen when asked; what is learned across a reset is not remembered
  };

  Recall recall(const Request& request, DenyMemory::Time now) {
    const DenyMemory::User user{request.user_id};
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    return {shard.memory->advise(user, decisions::unix_minute(request.now), request.tokens, now), shard.resets};
  }

  template <class Change>
  void remember(const DenyMemory::User& user, std::uint64_t resets, Change change) {
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    if (shard.resets == resets) change(*shard.memory, user);
  }

  void forget(const DenyMemory::User& user) {
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    shard.memory->forget(user);
    ++shard.resets;
  }

 private:
  static constexpr std::size_t kUsersPerShard = 256;

  struct Shard {
    std::mutex mutex;
    std::optional<DenyMemory> memory;
    std::uint64_t resets = 0;
  };

  Shard& shard_of(const DenyMemory::User& user) { return shards_[shard_number(user.hash)]; }

  std::array<Shard, kShards> shards_;
};

/// Sharded as Memory is: 16 times 4096 places of 16 bytes.
class BlockingLimiter::Share {
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
    std::optional<decisions::LocalShare> share;
  };

  Shard& shard_of(std::string_view user_id) { return shards_[shard_number(std::hash<std::string_view>{}(user_id))]; }

  std::array<Shard, kShards> shards_;
};

/// Of one kind of posts. `failed` is the event for its kind.
class BlockingLimiter::PostHandler final : public ReplyHandler {
 public:
  PostHandler(EventKind failed, std::shared_ptr<LimiterCounters> tally, std::shared_ptr<LimiterEvents> events)
      : failed_(failed), counters_(std::move(tally)), events_(std::move(events)) {}

  void handle(RedisClient& /*client*/, const CommandBatch& batch, const BatchResult& result) noexcept override {
    std::int64_t tokens = 0;
    std::optional<std::size_t> first;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (result.ok() && i < result.replies.size() && !result.replies[i].is_error()) continue;
      tokens += tokens_of(batch[i]);
      if (!first) first = i;
    }
    if (first) return lost(tokens, failure_of(result, *first));
    if (failing_.load(std::memory_order_relaxed)) failing_.store(false, std::memory_order_relaxed);
  }

  void lost(std::int64_t tokens, const Failure& failure) noexcept {
    counters_->count_undelivered(tokens);
    if (!failing_.exchange(true, std::memory_order_relaxed)) events_->tell(failed_, tokens, failure);
  }

 private:
  const EventKind failed_;
  const std::shared_ptr<LimiterCounters> counters_;
  const std::shared_ptr<LimiterEvents> events_;
  std::atomic<bool> failing_{false};
};

/// Of the expiry that mends one lost charge. It may be set any number of times: when it is lost too, it is sent again.
class BlockingLimiter::Repair final : public ReplyHandler, public std::enable_shared_from_this<Repair> {
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

class BlockingLimiter::LateCharge final : public ReplyHandler {
 public:
  LateCharge(decisions::CallerWasTold told, std::shared_ptr<PostHandler> undos, std::shared_ptr<PostHandler> repairs)
      : told_(told), undos_(std::move(undos)), repairs_(std::move(repairs)) {}

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override {
    const bool to_be_undone = result.ok();
    try {
      CommandBatch mending = decisions::FixedWindow::mend_late_charges(batch, result, told_);
      if (mending.empty()) return;
      if (to_be_undone) return client.post(std::move(mending), undos_);
      client.post(std::move(mending), std::make_shared<Repair>(repairs_));
    } catch (...) {
      std::int64_t tokens = 0;
      for (std::size_t i = 0; i < batch.size() && to_be_undone; ++i) tokens += tokens_of(batch[i]);
      (to_be_undone ? undos_ : repairs_)->lost(tokens, no_memory());
    }
  }

 private:
  const decisions::CallerWasTold told_;
  const std::shared_ptr<PostHandler> undos_;
  const std::shared_ptr<PostHandler> repairs_;
};

/// One request on its way to its outcome.
struct BlockingLimiter::Question {
  enum class Next : std::uint8_t { kLook, kCharge, kNothing };

  Request request;
  Outcome* outcome = nullptr;
  Next next = Next::kNothing;
  Memory* memory = nullptr;  // null: its denials are not remembered
  Memory::Recall recall = {};
  DenyMemory::Time asked_at = {};
  std::size_t first_command = 0;  // of its own, in the batch under way
  bool must_undo = false;         // charged by the batch under way, and denied
};

BlockingLimiter::BlockingLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config)
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
      counters_(std::make_shared<LimiterCounters>()),
      events_(std::make_shared<LimiterEvents>(config_.observer, clock_, config_.key_prefix)),
      undos_(std::make_shared<PostHandler>(EventKind::kUndoFailed, counters_, events_)),
      settlements_(std::make_shared<PostHandler>(EventKind::kSettlementFailed, counters_, events_)),
      late_charge_(std::make_shared<LateCharge>(
          config_.on_failure == FailurePolicy::kAllow ? decisions::CallerWasTold::kYes : decisions::CallerWasTold::kNo,
          undos_, std::make_shared<PostHandler>(EventKind::kRepairFailed, counters_, events_))) {
  if (!client_) throw std::invalid_argument("tollgate: client is null; it must be a RedisClient");
}

BlockingLimiter::~BlockingLimiter() { events_->limiter_ends(); }

void BlockingLimiter::conclude(Question& question, Answer& answer) {
  const Request& request = question.request;
  Outcome& outcome = *question.outcome;
  question.next = Question::Next::kNothing;
  if (answer.failure.code) {
    outcome = fall_back(request, std::move(answer.failure));
    return;
  }
  outcome.decision = answer.decision;
  outcome.charged = answer.decision.allowed;
  outcome.minute = answer.minute;
  if (share_ && outcome.charged) share_->get().use(request.user_id, answer.minute, request.tokens);
}

/// The FailurePolicy's answer. What kAllow lets pass is taken to be charged when it may have been; what is granted from
/// the local share is charged once Redis is back.
Outcome BlockingLimiter::fall_back(const Request& request, Failure failure) {
  const std::int64_t minute = decisions::unix_minute(request.now);
  bool allowed = config_.on_failure == FailurePolicy::kAllow;
  bool charged = allowed && failure.may_have_executed;
  if (share_ && share_->get().grant(request.user_id, minute, request.tokens)) {
    allowed = charged = true;
    if (request.tokens > 0) post_settlement(request.user_id, minute, request.tokens, {});
  }
  Decision decision = window_.fall_back(request, allowed, failure.code);
  return {decision, std::move(failure), charged, minute};
}

/// Asks the memory; what it denies needs no round trip.
BlockingLimiter::Question BlockingLimiter::prepare(const Request& request, DenyMemory::Time now, Outcome& outcome) {
  Question question{.request = request, .outcome = &outcome, .asked_at = now};
  if (request.tokens > config_.max_tokens_per_minute) {
    window_.deny_locally(request, true, outcome.decision);
  } else if (request.tokens == 0) {
    question.next = Question::Next::kLook;
  } else {
    question.next = Question::Next::kCharge;
    // An operation with an id may have been admitted already: only Redis knows.
    if (!memory_ || !request.operation_id.empty()) return question;
    question.memory = &memory_->get();
    question.recall = question.memory->recall(request, now);
    if (question.recall.advice == DenyMemory::Advice::kLook) question.next = Question::Next::kLook;
    if (question.recall.advice == DenyMemory::Advice::kDeny) {
      question.next = Question::Next::kNothing;
      window_.deny_locally(request, false, outcome.decision);
    }
  }
  return question;
}

/// One round trip for all, and one more for what looked first and is to be charged after all.
void BlockingLimiter::ask(std::span<Question> questions, const CallOptions& options) {
  for (;;) {
    CommandBatch batch;
    bool charges = false;
    for (Question& question : questions) {
      question.first_command = batch.size();
      if (question.next == Question::Next::kLook) {
        window_.look(question.request, batch);
      } else if (question.next == Question::Next::kCharge) {
        window_.charge(question.request, batch);
        charges = true;
      }
    }
    if (batch.empty()) return;

    static const std::shared_ptr<ReplyHandler> nobody;
    const auto era = events_->era();
    const BatchResult result = client_->execute(batch, options.deadline, charges ? late_charge_ : nobody);
    try {
      read(questions, result, era);
    } catch (...) {  // no memory
      undo(questions);
      throw;
    }
    undo(questions);
  }
}

void BlockingLimiter::read(std::span<Question> questions, const BatchResult& result, std::uint64_t era) {
  bool undoes = false;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    Question& question = questions[i];
    // What is too much belongs to the last.
    const std::size_t end = i + 1 < questions.size() ? questions[i + 1].first_command : std::string::npos;
    const ReplyRange replies{result, question.first_command, end - question.first_command};
    const std::int64_t inflated_by = undoes ? inflation(questions.first(i), question.request.user_id) : 0;
    if (question.next == Question::Next::kLook) {
      read_look(question, replies, inflated_by, era);
    } else if (question.next == Question::Next::kCharge) {
      read_charge(question, replies, inflated_by, era);
      undoes = undoes || question.must_undo;
    }
  }
}

void BlockingLimiter::read_look(Question& question, const ReplyRange& replies, std::int64_t inflated_by,
                                std::uint64_t era) {
  Answer answer = window_.read_look(question.request, replies, inflated_by);
  events_->asked(LimiterEvents::Question::kLook, era, answer.failure);
  if (!answer.failure.code) remember_left(question, answer);
  const bool fits = !answer.failure.code && answer.decision.allowed && question.request.tokens > 0;
  if (fits) {
    question.next = Question::Next::kCharge;
  } else {
    conclude(question, answer);
  }
}

void BlockingLimiter::read_charge(Question& question, const ReplyRange& replies, std::int64_t inflated_by,
                                  std::uint64_t era) {
  Answer answer = window_.read_charge(question.request, replies, inflated_by);
  events_->asked(LimiterEvents::Question::kCharge, era, answer.failure);
  if (answer.failure.may_have_executed) counters_->count_in_doubt(question.request.tokens);
  if (!answer.failure.code) remember_charge(question, answer);
  question.must_undo = answer.must_undo;
  conclude(question, answer);
}

/// What those of `earlier` that are about to be undone have put on the user's counter.
std::int64_t BlockingLimiter::inflation(std::span<const Question> earlier, std::string_view user_id) {
  std::int64_t tokens = 0;
  for (const Question& question : earlier) {
    if (question.must_undo && question.request.user_id == user_id) tokens += question.request.tokens;
  }
  return tokens;
}

/// Gives back what those have charged who were denied.
void BlockingLimiter::undo(std::span<Question> questions) noexcept {
  std::int64_t tokens = 0;
  for (const Question& question : questions) {
    if (question.must_undo) tokens += question.request.tokens;
  }
  if (tokens == 0) return;
  try {
    CommandBatch undos;
    for (Question& question : questions) {
      if (!std::exchange(question.must_undo, false)) continue;
      const Request& request = question.request;
      window_.adjust(request.user_id, decisions::unix_minute(request.now), -request.tokens, false, {}, undos);
    }
    client_->post(std::move(undos), undos_);
  } catch (...) {
    undos_->lost(tokens, no_memory());
  }
}

void BlockingLimiter::remember_left(const Question& question, const Answer& answer) const {
  if (question.memory == nullptr) return;
  if (answer.used > config_.max_tokens_per_minute) return;  // somebody's charge is about to be undone
  question.memory->remember(question.request.user_id, question.recall.resets,
                            [&](DenyMemory& denials, const DenyMemory::User& user) {
                              denials.remember_left(user, decisions::unix_minute(question.request.now),
                                                    config_.max_tokens_per_minute - answer.used, question.asked_at);
                            });
}

void BlockingLimiter::remember_charge(const Question& question, const Answer& answer) const {
  const bool denied = !answer.decision.allowed;
  if (denied && config_.admission == Admission::kAtomic) return remember_left(question, answer);
  const bool out_of_date =
      config_.admission == Admission::kPipelined && !denied && question.recall.advice == DenyMemory::Advice::kLook;
  if (question.memory == nullptr || (!denied && !out_of_date)) return;
  const Request& request = question.request;
  question.memory->remember(request.user_id, question.recall.resets,
                            [&](DenyMemory& denials, const DenyMemory::User& user) {
                              const std::int64_t minute = decisions::unix_minute(request.now);
                              if (denied) {
                                denials.remember_denied(user, minute, request.tokens);
                              } else {
                                denials.remember_admitted(user, minute, request.tokens);
                              }
                            });
}

Outcome BlockingLimiter::consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  const Request request{user_id, tokens, clock_->now(), options.operation_id.value_or(std::string_view{})};
  Outcome outcome;
  Question question = prepare(request, clock_->steady_now(), outcome);
  if (question.next != Question::Next::kNothing) ask({&question, 1}, options);
  return outcome;
}

std::vector<Decision> BlockingLimiter::consume_all(std::span<const ConsumeRequest> requests,
                                                   const CallOptions& options) {
  std::vector<Decision> decisions;
  std::vector<Question> questions;
  std::vector<Outcome> outcomes(std::min(requests.size(), kMostPerRoundTrip));
  decisions.reserve(requests.size());  // first: what has been decided can then be told
  questions.reserve(outcomes.size());
  while (decisions.size() < requests.size()) {
    const auto rest = requests.subspan(decisions.size());
    const auto together = rest.first(std::min(rest.size(), kMostPerRoundTrip));
    auto failure = std::errc::io_error;  // an injected client threw
    questions.clear();
    try {
      const auto now = clock_->now();
      const auto steady_now = clock_->steady_now();
      for (const ConsumeRequest& request : together) {
        Outcome& outcome = outcomes[questions.size()] = {};
        if (detail::is_valid(request)) {
          questions.push_back(prepare({request.user_id, request.tokens, now}, steady_now, outcome));
        } else {
          questions.emplace_back();
          outcome.decision = denial(Source::kLocal, std::errc::invalid_argument);
        }
      }
      ask(questions, options);
    } catch (const std::bad_alloc&) {
      failure = std::errc::not_enough_memory;
    } catch (...) {
    }
    for (std::size_t i = 0; i < together.size(); ++i) {
      const bool decided = i < questions.size() && questions[i].next == Question::Next::kNothing;
      decisions.push_back(hand_out(decided ? outcomes[i].decision : denial(Source::kFallback, failure)));
    }
  }
  return decisions;
}

Decision BlockingLimiter::decide(Outcome outcome) {
  if (outcome.failure && config_.on_failure == FailurePolicy::kThrow) check(std::move(*outcome.failure));
  return hand_out(outcome.decision);
}

Decision BlockingLimiter::hand_out(const Decision& decision) noexcept {
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
  const Request request{user_id, tokens, clock_->now(), options.operation_id.value_or(std::string_view{})};
  CommandBatch batch;
  window_.adjust(user_id, decisions::unix_minute(request.now), tokens, true, request.operation_id, batch);
  Answer answer = window_.read_adjust(request, client_->execute(batch, options.deadline, nullptr));
  if (answer.failure.may_have_executed) counters_->count_in_doubt(tokens);
  if (share_ && !answer.failure.code) share_->get().use(user_id, answer.minute, tokens);
  return std::move(answer.failure);
}

Failure BlockingLimiter::reset(std::string_view user_id, const CallOptions& options) {
  decisions::ResetScan scan{config_.key_prefix, std::string{user_id}, current_minute()};
  Failure failure;
  while (!failure.code && !scan.done()) {
    failure = scan.read(client_->execute(scan.next_batch(), options.deadline, nullptr));
  }
  if (memory_) memory_->get().forget(user_id);
  return failure;
}

Failure BlockingLimiter::ping(const CallOptions& options) {
  CommandBatch batch;
  batch.ping();
  return decisions::FixedWindow::read_ping(client_->execute(batch, options.deadline, nullptr));
}

bool BlockingLimiter::drain(std::chrono::steady_clock::time_point deadline) {
  const bool drained = client_->drain(deadline);
  events_->deliver();
  return drained;
}

void BlockingLimiter::adjust(std::string_view user_id, std::int64_t minute, std::int64_t tokens,
                             std::string_view once_id) noexcept {
  if (tokens < 0 && memory_) memory_->get().forget(user_id);
  post_settlement(user_id, minute, tokens, once_id);
  events_->deliver();
}

void BlockingLimiter::post_settlement(std::string_view user_id, std::int64_t minute, std::int64_t tokens,
                                      std::string_view once_id) noexcept {
  try {
    CommandBatch batch;
    window_.adjust(user_id, minute, tokens, minute == current_minute(), once_id, batch);
    client_->post(std::move(batch), settlements_);
  } catch (...) {
    settlements_->lost(std::abs(tokens), no_memory());
  }
}

void BlockingLimiter::drop(std::int64_t tokens) noexcept {
  counters_->count_dropped();
  events_->reservation_dropped(tokens, current_minute());
  events_->deliver();
}

Stats BlockingLimiter::stats() const {
  Stats stats = counters_->read();
  stats.client = client_->stats();
  return stats;
}

Undelivered BlockingLimiter::undelivered() const noexcept { return counters_->undelivered(); }

}  // namespace tollgate::inline v0
