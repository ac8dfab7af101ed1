#include "clients/connection_pool.hpp"

#include <utility>

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kUnit = 256;
constexpr int kSmoothing = 16;

/// Only the first connection's changes are told.
ClientOptions unobserved(ClientOptions options) {
  options.observer = nullptr;
  return options;
}

/// Counts a call for as long as it is under way.
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

}  // namespace

/// Takes a lane that nobody has to itself, for as long as it lives.
class ConnectionPool::Claim {
 public:
  explicit Claim(Lane& lane) noexcept { take(lane); }
  /// The first free one among all, where there is one.
  explicit Claim(std::deque<Lane>& lanes) noexcept {
    for (auto lane = lanes.begin(); lane != lanes.end() && lane_ == nullptr; ++lane) take(*lane);
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() {
    if (lane_ != nullptr) lane_->taken.store(false, std::memory_order_release);
  }

  [[nodiscard]] Lane* lane() const noexcept { return lane_; }

 private:
  void take(Lane& lane) noexcept {
    if (lane.taken.load(std::memory_order_relaxed) || lane.taken.exchange(true, std::memory_order_acquire)) return;
    lane_ = &lane;
  }

  Lane* lane_ = nullptr;
};

ConnectionPool::ConnectionPool(RedisClient& client, const Url& url, const ClientOptions& options)
    : command_timeout_(options.command_timeout) {
  lanes_.emplace_back(client, url, options, Greeting::kAsNeeded);
  while (lanes_.size() < kConnections) lanes_.emplace_back(client, url, unobserved(options), Greeting::kAlways);
}

BatchResult ConnectionPool::execute(const CommandBatch& batch, RedisClient::Deadline deadline,
                                    const std::shared_ptr<ReplyHandler>& late) {
  const Time now = SteadyClock::now();
  BatchResult result = carry(batch, now, deadline.value_or(now + command_timeout_), late);
  counters_.add(result.ok() ? LatencyHistogram::bucket_of(SteadyClock::now() - now) : kFailed);
  return result;
}

BatchResult ConnectionPool::carry(const CommandBatch& batch, Time now, Time until,
                                  const std::shared_ptr<ReplyHandler>& late) {
  const UnderWay under_way{calls_};
  if (!few_are_under_way(under_way.others()) || !weather_is_fair()) return carry_on_first(batch, now, until, late);

  const Claim claim{lanes_};
  // A call comes after what its thread has posted, which is on the first.
  if (claim.lane() == nullptr || claim.lane() == &lanes_.front() || first().has_posts_under_way()) {
    return carry_on_first(batch, now, until, late);
  }
  Pipeline& other = claim.lane()->pipeline;
  if (other.is_connected()) {
    BatchResult result = other.execute(batch, SteadyClock::now(), until, late);
    note_outcome(result, now);
    if (result.ok() || result.failure.may_have_executed || SteadyClock::now() >= until) return result;
  }
  return carry_on_first(batch, SteadyClock::now(), until, late);
}

/// Calls come in clumps, so one look does not tell: after a batch of many, the next ones find nobody for a moment.
bool ConnectionPool::few_are_under_way(int others) noexcept {
  constexpr int kFew = kConnections;
  int usual = usual_.load(std::memory_order_relaxed);
  usual += (others * kUnit - usual) / kSmoothing;
  usual_.store(usual, std::memory_order_relaxed);
  return others < kFew && usual < kFew * kUnit;
}

/// Of a call at `since` on one of the others. One event may take all of them: it counts once.
void ConnectionPool::note_outcome(const BatchResult& result, Time since) {
  const Failure failure = result.ok() ? Pipeline::inability_in(result.replies) : result.failure;
  if (!failure.code) return;
  if (weather_is_fair()) first().note_failure_elsewhere(failure, since);
  turn_foul();
}

BatchResult ConnectionPool::carry_on_first(const CommandBatch& batch, Time now, Time until,
                                           const std::shared_ptr<ReplyHandler>& late) {
  BatchResult result = first().execute(batch, now, until, late);
  if (!result.ok()) {
    turn_foul();
  } else if (!weather_is_fair()) {
    const auto seen = failures_.load(std::memory_order_relaxed);
    if (attend_the_others(true)) {
      attended_.store(seen, std::memory_order_relaxed);
      others_given_up_.store(false, std::memory_order_relaxed);
    }
  }
  return result;
}

/// Whether nothing is left on the others that nobody waits for: it would not be looked after while they are not used.
bool ConnectionPool::attend_the_others(bool redis_answers) {
  bool attended = true;
  for (std::size_t i = 1; i < lanes_.size(); ++i) {
    const Claim claim{lanes_[i]};
    attended = claim.lane() != nullptr && lanes_[i].pipeline.attend(redis_answers) && attended;
  }
  return attended;
}

/// A call has failed. Once the circuit is open nobody waits for what is on the others, as nobody does on the first.
void ConnectionPool::turn_foul() {
  failures_.fetch_add(1, std::memory_order_relaxed);
  if (!first().circuit_is_open()) {
    attend_the_others(false);  // late replies are undone also where every caller is in a hurry
  } else if (!others_given_up_.exchange(true, std::memory_order_relaxed)) {
    for (std::size_t i = 1; i < lanes_.size(); ++i) {
      lanes_[i].pipeline.give_up_connection("given up when the circuit opened");
    }
  }
}

/// On the first, except behind a call in doubt about the same key that another still holds: what undoes or settles that
/// must not come before it.
void ConnectionPool::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  for (std::size_t i = 1; i < lanes_.size() && !weather_is_fair() && !batch.empty(); ++i) {
    if (lanes_[i].pipeline.has_abandoned(batch[0].key)) {
      return lanes_[i].pipeline.post(std::move(batch), std::move(handler));
    }
  }
  first().post(std::move(batch), std::move(handler));
}

bool ConnectionPool::drain(Time deadline) {
  bool drained = true;
  for (Lane& lane : lanes_) drained = lane.pipeline.drain(deadline) && drained;
  return first().drain(deadline) && drained;  // late replies on the others may have been answered by posts
}

ClientStats ConnectionPool::stats() const noexcept {
  ClientStats stats = lanes_.front().pipeline.stats();
  for (std::size_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket) {
    stats.latency.counts[bucket] = counters_.read(bucket);
  }
  stats.failed = counters_.read(kFailed);
  return stats;
}

void ConnectionPool::close() {
  const Time deadline = SteadyClock::now() + command_timeout_;
  drain(deadline);
  for (std::size_t i = 1; i < lanes_.size(); ++i) lanes_[i].pipeline.close();
  first().drain(deadline);  // what that has made to be posted
  first().close();
}

void ConnectionPool::close_in_child() noexcept {
  for (Lane& lane : lanes_) lane.pipeline.close_in_child();
}

}  // namespace tollgate::inline v0
