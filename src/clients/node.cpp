#include "clients/node.hpp"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kUnit = 256;      // of the moving average, an integer
constexpr int kSmoothing = 16;  // calls; `scripts/thresholds smoothing` compares it with no average

// How often the service thread reads late replies and continues to connect while there is no call.
constexpr std::chrono::milliseconds kServiceTick{10};

/// Counts a call as long as it is in flight.
class UnderWay {
 public:
  explicit UnderWay(std::atomic<int>& calls) noexcept
      : calls_(calls), others_(calls.fetch_add(1, std::memory_order_relaxed)) {}
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
  ~UnderWay() { calls_.fetch_sub(1, std::memory_order_relaxed); }

  [[nodiscard]] int others() const noexcept { return others_; }

 private:
  std::atomic<int>& calls_;
  const int others_;
};

bool is_maintenance(const CommandBatch& batch) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    switch (batch[i].operation) {
      case Operation::kScan:
      case Operation::kUnlink:
      case Operation::kClusterShards:
      case Operation::kClusterSlots: return true;
      default: break;
    }
  }
  return false;
}

}  // namespace

/// Reserves a connection that no other call has reserved, until it is destroyed.
class Node::ExclusiveUse {
 public:
  explicit ExclusiveUse(Slot& slot) noexcept { take(slot); }
  /// Reserves `preferred`, else the first free slot; slot() is null when there is none.
  ExclusiveUse(Slot& preferred, std::deque<Slot>& slots) noexcept {
    take(preferred);
    for (auto slot = slots.begin(); slot != slots.end() && slot_ == nullptr; ++slot) take(*slot);
  }
  ExclusiveUse(const ExclusiveUse&) = delete;
  ExclusiveUse& operator=(const ExclusiveUse&) = delete;
  ~ExclusiveUse() {
    if (slot_ != nullptr) slot_->in_use.store(false, std::memory_order_release);
  }

  [[nodiscard]] Slot* slot() const noexcept { return slot_; }

 private:
  void take(Slot& slot) noexcept {
    if (slot.in_use.load(std::memory_order_relaxed) || slot.in_use.exchange(true, std::memory_order_acquire)) return;
    slot_ = &slot;
  }

  Slot* slot_ = nullptr;
};

Node::Node(RedisClient& client, Endpoint endpoint, Login login, const ClientOptions& options, const ScriptList& scripts,
           std::unique_ptr<ConnectionSource> source)
    : shared_(client, std::move(endpoint), std::move(login), options, scripts, std::move(source)),
      maintenance_(shared_, Handshake::kAlways, Pipeline::Use::kMaintenance),
      service_thread_([this] { return service(); }) {
  slots_.emplace_back(shared_, Handshake::kAsNeeded);
  while (slots_.size() < kConnections) slots_.emplace_back(shared_, Handshake::kAlways);
  primary().pipeline.set_primary(true);
}

void Node::close(Time deadline) {
  service_thread_.stop();
  post_deferred(Time::max());  // a last attempt for each
  drain(deadline);
  maintenance_.close();
  for (Slot& slot : slots_) {
    if (&slot != &primary()) slot.pipeline.close();
  }
  primary().pipeline.drain(deadline);  // posts made by the handlers of those replies
  while (auto post = deferred_.take_due(Time::max())) {
    if (!post->handler) continue;
    const BatchResult ended{{}, detail::failure(Errc::kConnectionLost, false, "client ended")};
    post->handler->handle(shared_.client, post->batch, ended);
  }
  primary().pipeline.close();
}

BatchResult Node::execute(const CommandBatch& batch, RedisClient::Deadline deadline,
                          const std::shared_ptr<ReplyHandler>& late) {
  const Time now = SteadyClock::now();
  if (now >= shared_.login_due.load(std::memory_order_relaxed)) service_thread_.request();
  BatchResult result = carry(batch, now, deadline.value_or(now + shared_.command_timeout), late);
  if (result.failure.may_have_executed) service_thread_.request();  // its reply may still come
  counters_.add(result.ok() ? LatencyHistogram::bucket_of(SteadyClock::now() - now) : kFailed);
  return result;
}

BatchResult Node::carry(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late) {
  const UnderWay under_way{calls_};
  if (!batch.empty() && is_maintenance(batch)) return carry_maintenance(batch, now, until, late);
  if (secondary_posts_.load(std::memory_order_relaxed) != secondary_posts_done_.load(std::memory_order_relaxed)) {
    if (Pipeline* secondary = secondary_with_post_on(batch)) {
      return carry_behind_posts(*secondary, batch, now, until, late);
    }
  }
  if (!few_are_under_way(under_way.others()) || !is_healthy()) return carry_on_primary(batch, now, until, late);

  const ExclusiveUse use{primary(), slots_};
  // A call must be executed after the posts of its thread, which are on the primary.
  if (use.slot() == nullptr || use.slot() == &primary() || primary().pipeline.has_posts_under_way()) {
    return carry_on_primary(batch, now, until, late);
  }
  Pipeline& secondary = use.slot()->pipeline;
  if (secondary.is_connected()) {
    BatchResult result = secondary.execute(batch, SteadyClock::now(), until, late);
    note_outcome(result, now);
    if (result.ok() || result.failure.may_have_executed || SteadyClock::now() >= until) return result;
  }
  return carry_on_primary(batch, SteadyClock::now(), until, late);
}

/// Uses a moving average, because calls come in groups: after a large batch, the next calls find few in flight for a
/// moment.
bool Node::few_are_under_way(int others) noexcept {
  constexpr int kFew = kConnections;
  int average = average_others_.load(std::memory_order_relaxed);
  average += (others * kUnit - average) / kSmoothing;
  average_others_.store(average, std::memory_order_relaxed);
  return others < kFew && average < kFew * kUnit;
}

/// Notes the outcome of a call that began at `since` on a secondary connection. One event may end all secondary
/// connections; it counts as one failure.
void Node::note_outcome(const BatchResult& result, Time since) {
  if (result.ok()) {
    const auto inability = ServerHealth::inability_in(result.replies);
    if (!inability) return;
    if (is_healthy()) primary().pipeline.note_failure_elsewhere(*inability, since);
  } else if (is_healthy()) {
    primary().pipeline.note_failure_elsewhere(result.failure, since);
  }
  mark_unhealthy();
}

BatchResult Node::carry_on_primary(const CommandBatch& batch, Time now, Time until,
                                   const std::shared_ptr<ReplyHandler>& late) {
  bool is_replaced = false;
  const auto ask_primary = [&] {
    is_replaced = false;
    const std::size_t number = primary_.load(std::memory_order_acquire);
    Pipeline& pipeline = slots_[number].pipeline;
    const std::size_t replacement = pipeline.is_silent() ? replacement_of(number) : number;
    return replacement != number ? carry_on_replacement(number, replacement, batch, now, until, late)
                                 : pipeline.execute(batch, now, until, late, &is_replaced);
  };
  BatchResult result = ask_primary();
  while (is_replaced) result = ask_primary();
  if (!result.ok()) {
    mark_unhealthy();
  } else if (!is_healthy()) {
    const auto seen = failures_.load(std::memory_order_relaxed);
    if (collect_late_replies(Pipeline::Server::kAnswers)) {
      collected_.store(seen, std::memory_order_relaxed);
      secondaries_given_up_.store(false, std::memory_order_relaxed);
    }
  }
  return result;
}

/// When the primary is silent, either its network path is broken or Redis is slow. A new connection that is answered
/// shows that it is the path. The silent connection is kept, to read late replies, until they are overdue.
BatchResult Node::carry_on_replacement(std::size_t silent, std::size_t replacement, const CommandBatch& batch, Time now,
                                       Time until, const std::shared_ptr<ReplyHandler>& late) {
  Pipeline& pipeline = slots_[replacement].pipeline;
  if (pipeline.wait_for_connection(until)) replace_primary(silent, replacement);
  BatchResult result = pipeline.execute(batch, SteadyClock::now(), until, late);
  if (!result.ok()) primary().pipeline.note_failure_elsewhere(result.failure, now);
  return result;
}

/// The next connection that is not silent; where all are, `silent` itself: then Redis is slow, and replies may still
/// come on each of them.
std::size_t Node::replacement_of(std::size_t silent) {
  for (std::size_t i = 1; i < slots_.size(); ++i) {
    const std::size_t number = (silent + i) % slots_.size();
    if (!slots_[number].pipeline.is_silent()) return number;
  }
  return silent;
}

/// Posts that were not sent move to the new primary. Those in flight stay on the silent one, see carry_behind_posts().
void Node::replace_primary(std::size_t silent, std::size_t replacement) {
  const auto switch_primary = [&] {
    secondary_posts_.fetch_add(1, std::memory_order_relaxed);
    std::size_t expected = silent;
    return primary_.compare_exchange_strong(expected, replacement, std::memory_order_acq_rel);
  };
  if (!slots_[silent].pipeline.hand_over_to(slots_[replacement].pipeline, switch_primary)) return;
  shared_.events.count(ClientEvents::kDisconnects);
  shared_.events.report(EventKind::kDisconnected,
                        detail::failure(Errc::kTimeout, false, "replaced: silent since a call timed out"));
  shared_.events.count(ClientEvents::kConnects);
  shared_.events.report(EventKind::kConnected);
  mark_unhealthy();  // until the late replies of the silent one are collected, or overdue
}

/// Carries maintenance, after posts, as every call. Its failures do not count against the connections of calls.
BatchResult Node::carry_maintenance(const CommandBatch& batch, Time now, Time until,
                                    const std::shared_ptr<ReplyHandler>& late) {
  if (primary().pipeline.circuit_is_open()) return primary().pipeline.execute(batch, now, until, late);
  if (primary().pipeline.has_posts_under_way()) primary().pipeline.drain(until);
  return maintenance_.execute(batch, SteadyClock::now(), until, late);
}

/// Delivers late replies on the secondary connections; true when none is outstanding.
bool Node::collect_late_replies(Pipeline::Server server) {
  bool collected = true;
  for (Slot& slot : slots_) {
    if (&slot == &primary()) continue;
    const ExclusiveUse use{slot};
    collected = use.slot() != nullptr && slot.pipeline.collect_late_replies(server) && collected;
  }
  return collected;
}

/// Called after a failed call. Once the circuit is open, late replies on the secondary connections are not waited for,
/// as on the primary.
void Node::mark_unhealthy() {
  failures_.fetch_add(1, std::memory_order_relaxed);
  if (!primary().pipeline.circuit_is_open()) {
    collect_late_replies(
        Pipeline::Server::kFails);  // so that late charges are undone even if every caller has a short deadline
  } else if (!secondaries_given_up_.exchange(true, std::memory_order_relaxed)) {
    for (Slot& slot : slots_) {
      if (&slot != &primary()) slot.pipeline.give_up_connection("given up when the circuit opened");
    }
  }
}

/// Posts on the primary, except behind a call in doubt on the same key that is still on a secondary connection: an undo
/// or a settlement of that call must be executed after it; and behind such a post.
void Node::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  Pipeline* behind = nullptr;
  if (!is_healthy() && !batch.empty()) {
    for (Slot& slot : slots_) {
      if (&slot == &primary()) continue;
      if (slot.pipeline.has_abandoned(batch[0].key) ||
          (slot.pipeline.has_post_on(batch) && !slot.pipeline.is_silent())) {
        behind = &slot.pipeline;
      }
    }
  }
  if (behind != nullptr) {
    behind->post(std::move(batch), std::move(handler));
    secondary_posts_.fetch_add(1, std::memory_order_relaxed);
  } else {
    while (!primary().pipeline.post_on_primary(batch, handler)) {  // replaced since primary_ was read
    }
  }
  service_thread_.request();
}

/// The secondary connection on which a post on a key of `batch` is under way; null when there is none.
Pipeline* Node::secondary_with_post_on(const CommandBatch& batch) {
  const unsigned seen = secondary_posts_.load(std::memory_order_relaxed);
  bool has_posts = false;
  for (Slot& slot : slots_) {
    if (&slot == &primary() || !slot.pipeline.has_posts_under_way()) continue;
    has_posts = true;
    if (slot.pipeline.has_post_on(batch)) return &slot.pipeline;
  }
  if (!has_posts) secondary_posts_done_.store(seen, std::memory_order_relaxed);
  return nullptr;
}

/// Carries a call whose key has a post on a secondary connection: on that connection, so that the call is executed
/// after it. Where that is lost or silent, what was sent on it is in doubt and the rest moves to the primary.
BatchResult Node::carry_behind_posts(Pipeline& secondary, const CommandBatch& batch, Time now, Time until,
                                     const std::shared_ptr<ReplyHandler>& late) {
  if (secondary.is_connected() && !secondary.is_silent()) {
    BatchResult result = secondary.execute(batch, SteadyClock::now(), until, late);
    note_outcome(result, now);
    if (result.ok() || result.failure.may_have_executed || SteadyClock::now() >= until) return result;
  }
  secondary.move_pending_posts_to(primary().pipeline);
  return carry_on_primary(batch, SteadyClock::now(), until, late);
}

void Node::post_at(Time not_before, CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  DeferredPosts::Post later{not_before, std::move(batch), std::move(handler)};
  if (!deferred_.add(later)) {
    if (!later.handler) return;
    const BatchResult refused{{},
                              detail::failure(Errc::kOverloaded, false, "too many posts are waiting to be sent again")};
    return later.handler->handle(shared_.client, later.batch, refused);
  }
  service_thread_.request();
}

/// The service thread's work: sends posts that are due, reads the replies to posts and abandoned calls, and continues
/// to connect where posts need a connection.
std::optional<Node::Time> Node::service() {
  if (SteadyClock::now() >= shared_.login_due.load(std::memory_order_relaxed)) renew_logins();
  post_deferred(SteadyClock::now());
  bool has_detached = false;
  const auto collect = [&](Pipeline& pipeline) {
    if (!pipeline.has_detached()) return;
    has_detached = !pipeline.collect_late_replies(Pipeline::Server::kUnknown) || has_detached;
  };
  for (Slot& slot : slots_) collect(slot.pipeline);
  collect(maintenance_);
  shared_.events.deliver();
  const std::optional<Time> due = deferred_.next_due();
  if (!has_detached) return due;
  const auto tick = std::min<SteadyClock::duration>(kServiceTick, shared_.command_timeout / 8);
  const Time next = SteadyClock::now() + tick;
  return due ? std::min(next, *due) : next;
}

/// Each connection notes anew when it is due next.
void Node::renew_logins() {
  shared_.login_due.store(Time::max());
  for (Slot& slot : slots_) slot.pipeline.renew_login();
  maintenance_.renew_login();
}

bool Node::drain(Time deadline) {
  for (;;) {
    bool drained = maintenance_.drain(deadline);
    for (Slot& slot : slots_) drained = slot.pipeline.drain(deadline) && drained;
    drained = primary().pipeline.drain(deadline) && drained;  // late replies may have been answered by posts
    const std::optional<Time> due = deferred_.next_due();
    if (!due && !is_posting_.load(std::memory_order_acquire)) return drained;
    if (!drained || SteadyClock::now() >= deadline) return false;
    // The service thread sends what is deferred when it is due.
    std::this_thread::sleep_until(std::min(deadline, SteadyClock::now() + kServiceTick));
  }
}

/// Sends the deferred posts whose time has come at `now`. One that cannot be sent for want of memory ends so.
void Node::post_deferred(Time now) {
  is_posting_.store(true, std::memory_order_release);
  while (auto due = deferred_.take_due(now)) {
    try {
      post(CommandBatch{due->batch}, due->handler);
    } catch (const std::bad_alloc&) {
      const BatchResult lost{{}, detail::failure(Errc::kOverloaded, false, "out of memory")};
      if (due->handler) due->handler->handle(shared_.client, due->batch, lost);
    }
  }
  is_posting_.store(false, std::memory_order_release);
}

void Node::refuse_unsent_posts(const char* why) noexcept {
  for (Slot& slot : slots_) {
    if (slot.pipeline.has_posts_under_way()) slot.pipeline.refuse_unsent_posts(why);
  }
}

void Node::disconnect_if_idle(const char* why) noexcept {
  if (calls_.load(std::memory_order_relaxed) > 0) return;
  for (Slot& slot : slots_) {
    if (!slot.pipeline.has_detached()) slot.pipeline.give_up_connection(why);
  }
  maintenance_.give_up_connection(why);
}

ClientStats Node::stats() const noexcept {
  ClientStats stats = shared_.events.stats();
  for (std::size_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket) {
    stats.latency.counts[bucket] = counters_.read(bucket);
  }
  stats.failed = counters_.read(kFailed);
  return stats;
}

}  // namespace tollgate::inline v0
