#include "oracle/worker.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }
  bool one_in(std::int64_t count) { return pick(1, count) == 1; }

  /// Mostly small, sometimes nothing, large, just what was last seen to be left or one more, or over the limit.
  std::int64_t pick_tokens(std::int64_t limit, std::int64_t seen_left) {
    const std::int64_t roll = pick(0, 99);
    if (roll < 3) return 0;
    if (roll < 8) return seen_left + pick(0, 1);
    if (roll < 14) return pick(1, limit);
    if (roll < 16) return limit + pick(0, 2);
    return pick(1, limit / 50);
  }

 private:
  std::mt19937_64 random_;
};

/// Passes all batches on, and applies the sabotage to some posts.
class Saboteur final : public RedisClient {
 public:
  Saboteur(std::shared_ptr<RedisClient> client, Sabotage sabotage) : client_(std::move(client)), sabotage_(sabotage) {}

  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    charged_ = batch[0].operation == Operation::kIncrBy ? batch[0].integers[0] : 0;
    return client_->execute(batch, deadline, late);
  }

  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    const bool undoes = std::exchange(charged_, 0) == -batch[0].integers[0];
    const Sabotage left_out = undoes ? Sabotage::kUndoLeftOut : Sabotage::kSettleLeftOut;
    const bool hits = (sabotage_ == left_out || (sabotage_ == Sabotage::kSettleAppliedTwice && !undoes)) &&
                      batch[0].keys.size() == 1 && ++targets_ % 50 == 0;
    if (hits && sabotage_ == left_out) {
      BatchResult result;
      result.replies.push_back(Reply::integer(0));
      return handler->handle(*client_, batch, result);
    }
    if (hits) client_->post(batch, handler);
    client_->post(std::move(batch), std::move(handler));
  }

  bool drain(std::chrono::steady_clock::time_point deadline) override { return client_->drain(deadline); }

 private:
  std::shared_ptr<RedisClient> client_;
  Sabotage sabotage_;
  std::int64_t charged_ = 0;  // by the batch executed last, had it been pipelined
  int targets_ = 0;
};

class Worker {
 public:
  Worker(int number, std::uint64_t seed, Sabotage sabotage, const std::string& url, SharedState& shared, Log& log)
      : number_(number), dice_(seed), shared_(shared), log_(log), client_(connect(url, kPatient)) {
    if (sabotage != Sabotage::kNone) client_ = std::make_shared<Saboteur>(client_, sabotage);
    const std::int64_t wrong_by = sabotage == Sabotage::kLimitTooHigh ? 1 : sabotage == Sabotage::kLimitTooLow ? -1 : 0;
    const auto memory = sabotage == Sabotage::kMemoryTooLong ? 3000ms : RateLimitConfig{}.deny_memory;
    for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
      for (const Budget& budget : kBudgets) {
        limiters_.emplace_back(client_, RateLimitConfig{.max_tokens_per_minute = budget.limit + wrong_by,
                                                        .key_prefix = std::string{budget.prefix},
                                                        .admission = admission,
                                                        .deny_memory = remembers_denials(number) ? memory : 0ms,
                                                        .clock = clock_});
      }
    }
    seen_left_.fill(kBudgets[0].limit);
  }

  void run() {
    while (!shared_.go) std::this_thread::sleep_for(1ms);
    // Identifies the worker of both of its connections in the record: that of calls, and that of reset.
    static_cast<void>(limiters_[0].get_remaining("worker-" + std::to_string(number_)));
    limiters_[0].reset("worker-" + std::to_string(number_));
    while (shared_.operations_left.fetch_sub(1) > 0) {
      pass_time();
      act();
    }
    while (!held_.empty()) settle(take_held());
    drain();
    std::uint64_t undelivered = 0;
    for (const RedisRateLimiter& limiter : limiters_) undelivered += limiter.undelivered().batches;
    state().undelivered = undelivered;
    state().phase = kEnded;
  }

 private:
  static inline const ClientOptions kPatient{.connect_timeout = 30s, .command_timeout = 30s};
  static constexpr std::size_t kMostHeld = 16;

  struct Target {
    int budget;
    int user;
    Way way;
  };

  /// A reservation, and our own record of its tokens.
  struct Held {
    Reservation reservation;
    Target target;
    std::int64_t minute;  // the window that `held` was charged to, or where it was denied
    std::int64_t held = 0;
    std::int64_t earlier = 0;       // in windows before
    std::uint32_t name = 0;         // under which it is settled once
    std::string operation_id = {};  // when that is the name

    void add(std::int64_t tokens, const Decision& decision, std::int64_t charged_minute) {
      if (!decision.allowed && decision.source == Source::kRedis && held + earlier == 0) minute = charged_minute;
      if (!decision.allowed || tokens == 0) return;
      if (charged_minute != minute) earlier += std::exchange(held, 0);
      minute = charged_minute;
      held += tokens;
    }
  };

  SharedState::OfWorker& state() { return shared_.workers.at(static_cast<std::size_t>(number_)); }
  void drain() {
    if (!client_->drain(std::chrono::steady_clock::now() + 30s)) throw std::runtime_error("not drained");
  }

  /// Follows the phase, or runs a minute ahead of it as the clock of a host may.
  void pass_time() {
    const std::int64_t phase = shared_.phase;
    if (phase != phase_) {
      drain();
      state().phase = phase_ = phase;
    }
    const auto by = dice_.pick(0, 40);
    clock_->advance(std::chrono::milliseconds{by});
    time_ms_ += static_cast<std::uint32_t>(by);
    set_minute(kFirstMinute + phase + (dice_.one_in(64) ? 1 : 0));
  }
  void set_minute(std::int64_t minute) {
    minute_ = minute;
    clock_->set(testing::ManualClock::kStart + std::chrono::minutes{minute - kFirstMinute} + 30s);
  }

  Target pick_target() {
    return {static_cast<int>(dice_.pick(0, 1)), static_cast<int>(dice_.pick(0, kUsers - 1)),
            dice_.one_in(2) ? Way::kPipelined : Way::kAtomic};
  }
  RedisRateLimiter& limiter(Target target) {
    return limiters_.at((target.way == Way::kAtomic ? 2U : 0U) + static_cast<std::size_t>(target.budget));
  }
  std::int64_t& seen_left(Target target) {
    return seen_left_.at(static_cast<std::size_t>(target.budget * 4 + target.user));
  }
  std::int64_t pick_tokens(Target target) {
    return dice_.pick_tokens(kBudgets.at(static_cast<std::size_t>(target.budget)).limit, seen_left(target));
  }
  std::uint32_t new_name() { return ((static_cast<std::uint32_t>(number_) << 22U) + ++names_) * 2; }
  static std::uint32_t settling(std::uint32_t name) { return name + 1; }  // records of charges are others

  Entry make_entry(Entry::Kind kind, Target target, std::int64_t minute, std::int64_t tokens) const {
    return {.kind = kind,
            .way = target.way,
            .counter = counter_of(target.budget, target.user, minute),
            .time_ms = time_ms_,
            .tokens = tokens};
  }
  void write_nothing() { log_.write({}); }
  void write_answer(Entry::Kind kind, Target target, std::int64_t tokens, const Decision& decision,
                    std::uint32_t name = 0) {
    Entry entry = make_entry(kind, target, minute_, tokens);
    entry.allowed = decision.allowed;
    entry.local = decision.source == Source::kLocal;
    entry.remaining = decision.remaining.value_or(Entry::kNotKnown);
    entry.name = name;
    if (decision.remaining) seen_left(target) = *decision.remaining;
    log_.write(entry);
  }
  /// `minute`: that the tokens were charged to. Those are given back there; excess is charged to the current one.
  void write_adjustment(Target target, std::int64_t minute, std::int64_t change, std::uint32_t name) {
    if (change == 0 && name == 0) return write_nothing();
    if (change > 0) minute = minute_;
    Entry entry = make_entry(Entry::kAdjust, target, minute, change);
    entry.may_create = change > 0;
    entry.name = name;
    log_.write(entry);
  }

  void act() {
    const std::int64_t roll = dice_.pick(0, 999);
    if (roll < 400) return consume();
    if (roll < 570) return reserve();
    if (roll < 650) return add();
    if (roll < 850) return held_.empty() ? reserve() : settle(take_held());
    if (roll < 880) return held_.empty() ? reserve() : cancel(take_held());
    if (roll < 910) return record();
    if (roll < 940) return peek(pick_target());
    if (roll < 955) return send_token();
    if (roll < 970) return adopt_token();
    if (roll < 980) return consume_once();
    if (roll < 990) return reserve_once();
    if (roll < 998) return record_once();
    const Target target = pick_target();
    limiter(target).reset(user_name(target.user));
    log_.write(make_entry(Entry::kReset, target, minute_, 0));
    peek(target);
  }

  void consume() {
    const Target target = pick_target();
    const std::int64_t tokens = pick_tokens(target);
    write_answer(Entry::kCharge, target, tokens, limiter(target).consume(user_name(target.user), tokens));
  }

  void peek(Target target) {
    if (dice_.one_in(2)) {
      return write_answer(Entry::kPeek, target, 0, limiter(target).peek(user_name(target.user)));
    }
    Entry entry = make_entry(Entry::kPeek, target, minute_, Entry::kNotKnown);
    entry.remaining = seen_left(target) = limiter(target).get_remaining(user_name(target.user));
    log_.write(entry);
  }

  void reserve() {
    if (held_.size() == kMostHeld) return settle(take_held());
    const Target target = pick_target();
    const std::int64_t tokens = pick_tokens(target);
    hold(target, tokens, limiter(target).reserve(user_name(target.user), tokens), minute_, 0, {});
  }

  /// Some that were denied are settled too: then all that was used is excess.
  void hold(Target target, std::int64_t tokens, Reservation reservation, std::int64_t charged_minute,
            std::uint32_t name, std::string operation_id) {
    write_answer(Entry::kCharge, target, tokens, reservation.decision(), name);
    Held held{std::move(reservation), target, minute_, 0, 0, name == 0 ? 0 : settling(name), std::move(operation_id)};
    held.add(tokens, held.reservation.decision(), tokens == 0 ? minute_ : charged_minute);
    if (held.reservation.allowed() || dice_.one_in(16)) held_.push_back(std::move(held));
  }

  Held take_held() {
    const auto place = dice_.one_in(2) ? 0 : dice_.pick(0, static_cast<std::int64_t>(held_.size()) - 1);
    Held held = std::move(held_[static_cast<std::size_t>(place)]);
    held_.erase(held_.begin() + place);
    return held;
  }

  void add() {
    const auto held = std::find_if(held_.begin(), held_.end(), [](const Held& one) { return one.name == 0; });
    if (held == held_.end()) return consume();
    const std::int64_t tokens = pick_tokens(held->target);
    const Decision decision = held->reservation.add(tokens);
    write_answer(Entry::kCharge, held->target, tokens, decision);
    held->add(tokens, decision, minute_);
  }

  void settle(Held held) {
    const std::int64_t total = held.held + held.earlier;
    const std::int64_t limit = kBudgets.at(static_cast<std::size_t>(held.target.budget)).limit;
    const std::int64_t roll = dice_.pick(0, 9);
    const std::int64_t actual = roll < 7 ? dice_.pick(0, total) : roll < 8 ? total : total + dice_.pick(1, limit / 50);
    write_adjustment(held.target, held.minute, std::max(actual - total, -held.held), held.name);
    if (held.operation_id.empty()) {
      held.reservation.settle(actual);
    } else {
      held.reservation.settle(actual, {.operation_id = held.operation_id});
    }
    if (!dice_.one_in(4)) return;
    held.reservation.settle(dice_.pick(0, limit));  // the second time: no effect
    write_nothing();
  }

  void cancel(Held held) {
    if (!held.operation_id.empty()) return settle(std::move(held));
    write_adjustment(held.target, held.minute, -held.held, held.name);
    held.reservation.cancel();
  }

  void record() {
    const Target target = pick_target();
    const std::int64_t tokens = dice_.pick(1, 5);
    limiter(target).record(user_name(target.user), tokens);
    write_adjustment(target, minute_, tokens, 0);
  }

  /// Passes the reservation's token to another worker; half of the time it is settled here as well.
  void send_token() {
    Letter& letter = shared_.letters.at(static_cast<std::size_t>(dice_.pick(0, 15)));
    int free = 0;
    if (held_.empty() || !held_.front().operation_id.empty() || !letter.state.compare_exchange_strong(free, 1)) {
      return consume();
    }
    Held held = std::move(held_.front());
    held_.erase(held_.begin());
    const std::string token = held.reservation.token();
    if (held.name == 0) held.name = settling(new_name());
    letter.counter = counter_of(held.target.budget, held.target.user, held.minute);
    letter.name = held.name;
    letter.held = held.held;
    letter.earlier = held.earlier;
    letter.size = token.copy(letter.token.data(), letter.token.size());
    letter.state = 2;
    if (dice_.one_in(2)) held_.push_back(std::move(held));
    consume();
  }

  void adopt_token() {
    Letter& letter = shared_.letters.at(static_cast<std::size_t>(dice_.pick(0, 15)));
    int written = 2;
    if (held_.size() == kMostHeld || !letter.state.compare_exchange_strong(written, 3)) return consume();
    const std::int64_t minute = kFirstMinute + letter.counter / 8;
    const Target target{static_cast<int>(letter.counter / 4 % 2), static_cast<int>(letter.counter % 4),
                        dice_.one_in(2) ? Way::kPipelined : Way::kAtomic};
    if (minute >= minute_ - 3) {  // else its counter may expire before it is settled
      held_.push_back({limiter(target).adopt({letter.token.data(), letter.size}),
                       target,
                       minute,
                       letter.held,
                       letter.earlier,
                       letter.name,
                       {}});
    }
    letter.state = 0;
    consume();
  }

  /// Under an id that other processes take too, in this minute or the next.
  void consume_once() {
    Target target = pick_target();
    target.way = Way::kAtomic;
    const std::int64_t minute = minute_ - (dice_.one_in(4) ? 1 : 0);
    const auto id = static_cast<std::uint32_t>(
        (minute % 4096 * 8 + counter_of(target.budget, target.user, kFirstMinute)) * 4 + dice_.pick(0, 3));
    const std::string operation_id = "shared-" + std::to_string(id);
    const std::int64_t tokens = 1 + id % 7;
    write_answer(Entry::kCharge, target, tokens,
                 limiter(target).consume(user_name(target.user), tokens, {.operation_id = operation_id}),
                 ((7U << 22U) + id) * 2);
  }

  /// And again, as if the reply had been lost; both are settled, under one id too.
  void reserve_once() {
    if (held_.size() + 2 > kMostHeld) return settle(take_held());
    Target target = pick_target();
    target.way = Way::kAtomic;
    const std::int64_t tokens = pick_tokens(target);
    const std::uint32_t name = new_name();
    const std::string operation_id = "own-" + std::to_string(name);
    const std::int64_t first_minute = minute_;
    for (int repeated = 0; repeated < 2; ++repeated) {
      hold(target, tokens, limiter(target).reserve(user_name(target.user), tokens, {.operation_id = operation_id}),
           first_minute, name, operation_id);
      if (dice_.one_in(4)) set_minute(minute_ + 1);
    }
  }

  void record_once() {
    Target target = pick_target();
    target.way = Way::kAtomic;
    const std::int64_t tokens = dice_.pick(1, 5);
    const std::uint32_t name = new_name();
    const std::string operation_id = "own-" + std::to_string(name);
    for (int repeated = 0; repeated < 2; ++repeated) {
      limiter(target).record(user_name(target.user), tokens, {.operation_id = operation_id});
      write_adjustment(target, minute_, tokens, settling(name));
    }
  }

  const int number_;
  Dice dice_;
  SharedState& shared_;
  Log& log_;
  std::shared_ptr<RedisClient> client_;
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::deque<RedisRateLimiter> limiters_;
  std::vector<Held> held_;
  std::array<std::int64_t, 8> seen_left_{};
  std::int64_t phase_ = 0;
  std::int64_t minute_ = kFirstMinute;
  std::uint32_t time_ms_ = 0;
  std::uint32_t names_ = 0;
};

/// Charges as the Python service does, except that its DECRBY is followed by an EXPIRE: without that, a reset in
/// between would leave a counter that never expires, which is a bug of that service and not tested here.
class PlainCounter {
 public:
  explicit PlainCounter(std::uint16_t port) : context_(redisConnect("127.0.0.1", port)) {
    if (context_ == nullptr || context_->err != 0) throw std::runtime_error("no connection");
  }
  ~PlainCounter() { redisFree(context_); }
  PlainCounter(const PlainCounter&) = delete;
  PlainCounter& operator=(const PlainCounter&) = delete;

  void get(const std::string& key) {
    redisAppendCommand(context_, "GET %s", key.c_str());
    read();
  }
  std::int64_t add(const char* command, const std::string& key, std::int64_t tokens) {
    redisAppendCommand(context_, "%s %s %lld", command, key.c_str(), static_cast<long long>(tokens));
    redisAppendCommand(context_, "EXPIRE %s 60", key.c_str());
    const std::int64_t value = read();
    read();
    return value;
  }

 private:
  std::int64_t read() {
    void* reply = nullptr;
    if (redisGetReply(context_, &reply) != REDIS_OK) throw std::runtime_error(context_->errstr);
    const std::int64_t value = static_cast<redisReply*>(reply)->integer;
    freeReplyObject(reply);
    return value;
  }

  redisContext* context_;
};

}  // namespace

void run_worker(int number, std::uint64_t seed, Sabotage sabotage, const std::string& url, SharedState& shared,
                Log& log) {
  Worker{number, seed, sabotage, url, shared, log}.run();
}

void run_plain_worker(std::uint64_t seed, std::uint16_t port, SharedState& shared, Log& log) {
  PlainCounter redis{port};
  Dice dice{seed};
  SharedState::OfWorker& state = shared.workers.at(kPlainWorker);
  while (!shared.go) std::this_thread::sleep_for(1ms);
  redis.get(std::string{kBudgets[0].prefix} + ":worker-" + std::to_string(kPlainWorker) + ":0");
  while (shared.operations_left.fetch_sub(1) > 0) {
    state.phase = shared.phase.load();
    const Counter counter = counter_of(static_cast<int>(dice.pick(0, 1)), static_cast<int>(dice.pick(0, kUsers - 1)),
                                       kFirstMinute + state.phase);
    const std::int64_t limit = budget_of(counter).limit;
    const std::int64_t tokens = std::max<std::int64_t>(dice.pick_tokens(limit, limit / 50), 1);
    const bool allowed = redis.add("INCRBY", key_of(counter), tokens) <= limit;
    if (!allowed) redis.add("DECRBY", key_of(counter), tokens);
    log.write({.kind = Entry::kCharge, .allowed = allowed, .counter = counter, .tokens = tokens});
  }
  state.phase = kEnded;
}

}  // namespace tollgate::tests
