/// One connection for any number of threads, without a thread of its own and without a lock held during I/O.
///
/// Two roles pass between the callers, each held by one thread at a time. The *driver* connects, receives, assigns
/// replies to exchanges, wakes their callers, and passes the role on when its own reply has come. The *writer* sends
/// the bytes that have been appended. While few exchanges are in flight, or when the network is slow, each caller sends
/// at once; otherwise the driver sends the bytes of all callers before it wakes callers and receives next, so that load
/// is batched.
///
/// What happens to calls, posts and the connection is decided by a ConnectionMachine; this class is its driver for
/// threads that wait: it has the lock, the roles, the system calls, and the policy of when to send, yield and sleep.
/// pipeline.cpp has the public functions, pipeline_driver.cpp the work of driver and writer.
/// Thread safety: every public function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "transport/client_events.hpp"
#include "transport/connection.hpp"
#include "transport/connection_machine.hpp"
#include "transport/connection_source.hpp"
#include "transport/connector.hpp"
#include "transport/round_trip.hpp"
#include "transport/script_preload.hpp"
#include "transport/tls_context.hpp"
#include "transport/yields.hpp"
#include "values/endpoint.hpp"

namespace tollgate::inline v0 {

// Nothing deletes a Pipeline through its private base. NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class Pipeline final : private ConnectionMachine::Driver {
 public:
  using Time = ConnectionMachine::Time;
  using Use = ConnectionMachine::Use;
  using Server = ConnectionMachine::Server;

  /// The objects that the connections of one client share; it outlives them.
  struct Shared {
    /// Of `options` the timeouts, TLS and the observer are used. `scripts` must outlive it. Connections come from
    /// `its_source` where there is one; of `its_endpoint` only the name is used then.
    Shared(RedisClient& its_client, Endpoint its_endpoint, Login its_login, const ClientOptions& options,
           const ScriptList& script_list, std::unique_ptr<ConnectionSource> its_source)
        : events(its_endpoint.name, options.observer),
          client(its_client),
          endpoint(std::move(its_endpoint)),
          login(std::move(its_login)),
          tls(endpoint.is_encrypted ? std::make_unique<TlsContext>(options.tls, endpoint.host) : nullptr),
          connect_timeout(options.connect_timeout),
          command_timeout(options.command_timeout),
          scripts(std::make_shared<ScriptPreload>(script_list)),
          source(std::move(its_source)) {}

    [[nodiscard]] std::unique_ptr<PendingConnection> begin_connecting(Handshake handshake, Time now) const {
      if (source) return source->begin(handshake, now);
      return std::make_unique<Connector>(endpoint, login, tls.get(), handshake, connect_timeout, now);
    }

    /// Notes that a connection's credentials are to be renewed at `due`.
    void note_login_due(Time due) noexcept {
      for (Time seen = login_due.load(); due < seen && !login_due.compare_exchange_weak(seen, due);) {
      }
    }

    ClientEvents events;
    RedisClient& client;  // passed to handlers
    const Endpoint endpoint;
    const Login login;
    const std::unique_ptr<TlsContext> tls;  // null where the endpoint is not encrypted
    const std::chrono::milliseconds connect_timeout;
    const std::chrono::milliseconds command_timeout;
    const std::shared_ptr<ScriptPreload> scripts;
    std::atomic<Time> login_due{Time::max()};        // when renew_login() should be called on all connections
    const std::unique_ptr<ConnectionSource> source;  // null: connections go to the endpoint
  };

  Pipeline(Shared& shared, Handshake handshake, Use use = Use::kCalls);
  ~Pipeline() { close(); }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// As RedisClient::execute, called at `now`. With `is_replaced`, only the primary executes the batch: otherwise
  /// nothing is done and `is_replaced` becomes true.
  BatchResult execute(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late,
                      bool* is_replaced = nullptr);

  /// Scripts are sent with their source, so that Redis runs them at once and in order, even after SCRIPT FLUSH or a
  /// restart: a later call sees their effect.
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) { add_post(batch, handler, false); }
  /// Likewise; but false, with nothing done, when another connection has become the primary.
  [[nodiscard]] bool post_on_primary(CommandBatch& batch, std::shared_ptr<ReplyHandler>& handler) {
    return add_post(batch, handler, true);
  }
  bool drain(Time deadline);
  /// Ends all remaining exchanges with a failure. No function may be called afterwards.
  void close() noexcept;

  /// Whether the connection is established. If not, continues to connect, without waiting.
  bool is_connected();
  /// Waits until the connection is established, until an attempt has failed, or until `until`. Throws std::bad_alloc.
  bool wait_for_connection(Time until);

  /// Delivers replies to posts and abandoned calls, without waiting. False while replies are outstanding. When they do
  /// not come within the command timeout while the server answers others, the connection is given up.
  bool collect_late_replies(Server server);
  /// Whether a call has timed out, and the connection has received nothing for the command timeout since: its peer may
  /// have disappeared without closing it.
  [[nodiscard]] bool is_silent();
  /// Calls the credentials callback when the connection's credentials are to be renewed, and sends AUTH. Does not wait
  /// for the reply.
  void renew_login() noexcept;
  /// Ends the connection; its exchanges in flight are in doubt.
  void give_up_connection(const char* why) noexcept;
  /// Ends the posts that wait for a connection, certain not to have executed; the failure is kMoved.
  void refuse_unsent_posts(const char* why) noexcept;
  /// Makes `other` the primary in place of this connection when `switch_primary` returns true, and moves unsent posts
  /// to it in their order. Both are locked meanwhile, so that a call on either is executed after the posts that its
  /// thread has made before. `switch_primary` must not use a Pipeline.
  bool hand_over_to(Pipeline& other, const std::function<bool()>& switch_primary);
  /// Moves unsent posts to `other`, as hand_over_to() does.
  void move_pending_posts_to(Pipeline& other);

  /// Notes that a call that began at `since` failed on another connection to the same server; the circuit breaker
  /// counts it as a failure here.
  void note_failure_elsewhere(const Failure& failure, Time since);
  [[nodiscard]] bool circuit_is_open() const noexcept { return machine_.circuit_is_open(); }

  /// Makes this the first primary connection. The changes of the primary are reported as the client's.
  void set_primary(bool is_primary) noexcept { is_primary_.store(is_primary, std::memory_order_relaxed); }

  /// Whether a post has not been answered: a call on another connection could be executed before it.
  [[nodiscard]] bool has_posts_under_way() const noexcept { return machine_.posted() > 0; }
  /// Whether posts or abandoned calls are not done.
  [[nodiscard]] bool has_detached() {
    const Lock lock{mutex_};
    return machine_.detached() > 0;
  }
  /// Whether an abandoned call on `key` is in flight.
  [[nodiscard]] bool has_abandoned(std::string_view key) {
    const Lock lock{mutex_};
    return machine_.has_abandoned(key);
  }
  /// Whether a post on a key of `batch` is not done.
  [[nodiscard]] bool has_post_on(const CommandBatch& batch);

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Handle = ConnectionMachine::Handle;
  class CallScope;
  class DriverScope;

  // pipeline.cpp
  BatchResult run_call(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late,
                       bool& late_follows, bool* is_replaced);
  bool add_post(CommandBatch& batch, std::shared_ptr<ReplyHandler>& handler, bool only_on_primary);
  void send_pending() noexcept;
  BatchResult time_out(Lock& lock, CallScope& call, Time now, bool& late_follows) noexcept;
  void wait_for_turn(Lock& lock, Exchange& exchange, Time until);
  void leave(Lock& lock, Handle exchange) noexcept;
  void pass_on_driver_role(Lock& lock) noexcept;

  // pipeline_driver.cpp
  void drive(Lock& lock, Time until, const Exchange* call);
  [[nodiscard]] bool has_driven_enough(const Exchange* call) const noexcept;
  void step_towards_connection(Lock& lock);
  void establish(Lock& lock, Time until);
  void read_after_silence(Lock& lock, Time now, bool also_with_replies_due) noexcept;
  void receive(Lock& lock, Time until) noexcept;
  void process_replies(Lock& lock, Time now, const Failure& end) noexcept;
  void write(Lock& lock) noexcept;
  void finish(Lock& lock, FinishedExchanges& finished) noexcept;
  void notify(Exchange& exchange) noexcept;
  void report(EventKind kind, const Failure& failure = {}) noexcept;
  void count(ClientEvents::Counter counter) noexcept;
  [[nodiscard]] static bool is_in_handler() noexcept;
  [[nodiscard]] bool sends_at_once() const noexcept;

  // ConnectionMachine::Driver
  void close_connection(const Failure& why) noexcept override;
  void circuit_opened(const Failure& why) noexcept override;
  void circuit_closed() noexcept override;
  void login_refused(const Failure& why, Time again_at, bool is_first) noexcept override;

  Shared& shared_;
  const Handshake handshake_;

  std::mutex mutex_;  // guards all members below, except those marked as the driver's
  ConnectionMachine machine_;
  const void* driver_ = nullptr;                  // the driver's exchange, or its DriverScope when it has none
  std::shared_ptr<Connection> connection_;        // null exactly while the machine is not connected
  std::unique_ptr<PendingConnection> connector_;  // the driver's, used without the lock
  std::size_t handling_ = 0;      // detached exchanges that have ended and whose handlers have not returned
  Time last_read_ = Time::min();  // when a thread last tried to read replies
  RoundTrip round_trip_;
  std::vector<Reply> replies_;  // the driver's, without the lock
  bool has_ended_ = false;
  std::atomic<bool> is_primary_{false};  // changed while the lock is held
  Yields yields_;
};

}  // namespace tollgate::inline v0
