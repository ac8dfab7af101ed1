/// The connections of one client. While few calls are under way each has a connection to itself, as a plain client
/// would; when more are, all that come share the first, whose batches then form by themselves. So two threads do not
/// wait for each other, and a thousand do not open a thousand connections.
///
/// The first is *the* connection: what is posted goes there, its circuit breaker speaks for the client, and only its
/// changes are told. The others are for fair weather: they are used once they are connected, no call waits for that,
/// and after any failure none of them is until the first has answered again and nothing is left on them.
/// Thread safety: every public function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>

#include "transport/pipeline.hpp"
#include "values/counters.hpp"

namespace tollgate::inline v0 {

class ConnectionPool {
 public:
  using Time = Pipeline::Time;

  static constexpr std::size_t kConnections = 4;

  /// `client` is what handlers are given.
  ConnectionPool(RedisClient& client, const Url& url, const ClientOptions& options);

  BatchResult execute(const CommandBatch& batch, RedisClient::Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late);
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler);
  bool drain(Time deadline);
  [[nodiscard]] ClientStats stats() const noexcept;
  /// Finishes what nobody waits for, within the command timeout; what is left then fails. Nothing may be asked
  /// afterwards.
  void close();

  /// In a forked child, on the inherited object: closes the descriptors, and only that.
  void close_in_child() noexcept;

 private:
  struct Lane {
    Lane(RedisClient& client, const Url& url, const ClientOptions& options, Greeting greeting)
        : pipeline(client, url, options, greeting) {}

    Pipeline pipeline;
    std::atomic<bool> taken{false};  // by a call that has it to itself
  };
  class Claim;

  enum Counter : std::size_t { kFailed = LatencyHistogram::kBuckets, kCounters };

  [[nodiscard]] Pipeline& first() noexcept { return lanes_.front().pipeline; }
  BatchResult carry(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late);
  void note_outcome(const BatchResult& result, Time since);
  BatchResult carry_on_first(const CommandBatch& batch, Time now, Time until,
                             const std::shared_ptr<ReplyHandler>& late);
  [[nodiscard]] bool few_are_under_way(int others) noexcept;
  [[nodiscard]] bool weather_is_fair() const noexcept {
    return failures_.load(std::memory_order_relaxed) == attended_.load(std::memory_order_relaxed);
  }
  bool attend_the_others(bool redis_answers);
  void turn_foul();

  const std::chrono::milliseconds command_timeout_;
  std::deque<Lane> lanes_;
  std::atomic<int> calls_{0};  // under way
  std::atomic<int> usual_{0};  // of the others that a call finds under way: a moving average, in units of 1 / kUnit
  std::atomic<unsigned> failures_{0};  // of calls
  std::atomic<unsigned> attended_{0};  // as many of them have nothing left on the others: the weather is fair
  std::atomic<bool> others_given_up_{false};
  detail::Counters<kCounters> counters_;  // of calls: the latencies, and then kFailed
};

}  // namespace tollgate::inline v0
