/// One connection for any number of threads, without a thread of its own and without a lock held during I/O.
///
/// Two roles pass between the callers. The *driver* is one of them at a time: it connects, receives, hands replies to
/// exchanges, wakes their callers, and passes the role on when its own reply is there. The *writer* is whoever sends
/// what has been appended; one at a time. While nearly nothing is in flight, or when the network is slow, each caller
/// sends at once; otherwise the bytes are left to the driver, who sends them before it wakes callers and receives next:
/// so batches form by themselves exactly when there is load.
/// Thread safety: every public function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/client_options.hpp"
#include "transport/circuit_breaker.hpp"
#include "transport/connect_attempt.hpp"
#include "transport/connection.hpp"
#include "transport/exchange_queue.hpp"
#include "transport/yields.hpp"
#include "values/counters.hpp"
#include "values/event_queue.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class Pipeline {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `client` is what handlers are given.
  Pipeline(RedisClient& client, Url url, const ClientOptions& options, Greeting greeting);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// As RedisClient::execute, called at `now`.
  BatchResult execute(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late);
  /// Whether there is a connection to be used. If not, makes a step towards one, without waiting.
  bool is_connected();
  /// Hands out what has come in for nobody who waits, without waiting. False while some of it is still to come.
  /// `redis_answers`: others are answered at this time; what does not come within the command timeout then never will,
  /// and the connection is given up.
  bool attend(bool redis_answers);
  /// The error reply, if there is one, by which Redis says that it cannot serve anybody now.
  [[nodiscard]] static Failure inability_in(const Replies& replies);
  /// A call at `since` has failed on another connection to the same server: the circuit breaker takes it for one here.
  void note_failure_elsewhere(const Failure& failure, Time since);
  /// What is on the connection is in doubt.
  void give_up_connection(std::string why);
  /// Whether something posted has not been answered yet: a call on another connection might overtake it.
  [[nodiscard]] bool has_posts_under_way() const noexcept { return queue_.posted() > 0; }
  /// Whether a call in doubt about `key` is still on the connection.
  [[nodiscard]] bool has_abandoned(std::string_view key) {
    const Lock lock{mutex_};
    return queue_.has_abandoned(key);
  }
  [[nodiscard]] bool circuit_is_open() const noexcept { return circuit_is_open_.load(std::memory_order_relaxed); }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler);
  bool drain(Time deadline);
  /// All but the latencies and failures of calls.
  [[nodiscard]] ClientStats stats() const noexcept;
  /// What is left fails. Nothing may be asked afterwards.
  void close();

  /// In a forked child, on the inherited object, whose lock may be held for ever: closes the descriptor, and only that.
  void close_in_child() noexcept;

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Handle = ExchangeQueue::Handle;
  using Handles = std::vector<Handle>;

  enum Counter : std::size_t { kFailedAtOnce, kPosted, kConnects, kDisconnects, kCircuitOpened, kCounters };

  BatchResult carry(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late);
  template <class Done>
  void drive(Lock& lock, Time until, Done done);
  void look_after_silence(Lock& lock, Time now, bool also_with_replies_due);
  void establish(Lock& lock, Time until);
  void step_towards_connection(Lock& lock);
  void receive(Lock& lock, Time until);
  void take_in(Lock& lock, Time now, Failure failure);
  void write(Lock& lock);
  void wait_for_turn(Lock& lock, Exchange& exchange, Time until);
  void pass_on(Lock& lock);
  void settle(Lock& lock, Handles& finished);
  void tell(const Exchange& exchange);

  void lose_connection(const Failure& failure, Handles& finished);
  void drop_connection(Failure failure, Handles& finished);
  void note_outcomes(Handles& finished);
  void note_timeout(Time now, Time since, const Failure& failure, Handles& finished);
  void end_probe() noexcept;
  void circuit_changed(CircuitBreaker::Change change, const Failure& failure, Handles& finished);
  void report(EventKind kind, Failure failure = {});
  [[nodiscard]] double random() { return std::uniform_real_distribution<double>{0.0, 1.0}(random_); }
  [[nodiscard]] bool may_connect(Time now) const noexcept;
  [[nodiscard]] bool may_write() const noexcept;
  [[nodiscard]] bool can_write_something() const noexcept;
  [[nodiscard]] bool writes_at_once() const noexcept;
  void note_round_trip(Time now);

  RedisClient& client_;
  const Url url_;
  const ClientOptions options_;

  std::mutex mutex_;  // guards everything below; what only the driver touches says so
  ExchangeQueue queue_;
  const Exchange* driver_ = nullptr;
  std::shared_ptr<Connection> connection_;
  std::unique_ptr<ConnectAttempt> attempt_;  // advanced by the driver, without the lock
  CircuitBreaker breaker_;
  const Exchange* probe_ = nullptr;  // the call that is to show whether the circuit can be closed
  Failure refusal_;                  // while it is open
  Time overdue_at_ = Time::max();    // when what attend() waits for will have been waited for in vain
  Time connected_at_ = Time::min();
  Time last_read_ = Time::min();   // when somebody last looked for replies
  Time last_heard_ = Time::min();  // and last found some
  // The network's share of the last round trips: falls at once and rises slowly, for any may have waited for a CPU.
  std::chrono::nanoseconds round_trip_{0};
  std::vector<Reply> replies_;  // the driver's, without the lock
  Handles finished_;            // the driver's, without the lock
  std::minstd_rand random_;
  std::atomic<int> descriptor_{-1};
  std::atomic<bool> circuit_is_open_{false};
  const Greeting greeting_;
  Yields yields_;

  detail::EventQueue events_;
  detail::Counters<kCounters> counters_;
};

}  // namespace tollgate::inline v0
