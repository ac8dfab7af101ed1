/// The decisions about one connection, as a state machine without I/O, lock or clock: which calls are admitted, when to
/// connect, which bytes are sent next, what each reply, failure and timeout means for the exchanges and for the health
/// of the server. A driver executes them: it calls an input for each event, asks next_action() what to do, and ends the
/// exchanges that inputs append to `finished`. Pipeline drives it with the threads of its callers; an event loop can do
/// the same.
///
/// A call that may have been executed is never sent again: unsent ones survive the end of a connection, those in flight
/// end in doubt. Inputs that end exchanges allocate and throw nothing.
/// Thread safety: none except where stated; the driver's lock guards it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "transport/exchange_queue.hpp"
#include "transport/login_renewal.hpp"
#include "transport/script_preload.hpp"
#include "transport/server_health.hpp"

namespace tollgate::inline v0 {

class ConnectionMachine {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Handle = ExchangeQueue::Handle;
  using GivenUp = ExchangeQueue::GivenUp;

  /// The use of the connection: maintenance (SCAN, UNLINK) may be cut by a proxy that forbids it.
  enum class Use : std::uint8_t { kCalls, kMaintenance };

  /// What the machine requires of its driver in the course of an input. The functions must not call the machine.
  class Driver {
   public:
    /// Closes the connection without waiting, and discards the bytes that it has not sent.
    virtual void close_connection(const Failure& why) noexcept = 0;
    virtual void circuit_opened(const Failure& why) noexcept = 0;
    virtual void circuit_closed() noexcept = 0;
    /// AUTH with new credentials was refused: they are asked for again at `again_at`. `is_first`: since some were
    /// accepted.
    virtual void login_refused(const Failure& why, Time again_at, bool is_first) noexcept = 0;

   protected:
    ~Driver() = default;
  };

  enum class Action : std::uint8_t {
    kNone,     ///< nothing, until the next input
    kConnect,  ///< begin_connecting(), then connected() or connect_failed()
    kSend,     ///< begin_sending(), then sent()
    kReceive,  ///< wait for replies, and where can_send() until bytes can be sent: received(), writable()
    kClose,    ///< close()
  };

  /// `seed` of the random numbers: the first serial number, and the pauses of the circuit breaker. `driver` must
  /// outlive the machine.
  ConnectionMachine(Driver& driver, std::chrono::milliseconds command_timeout, std::shared_ptr<ScriptPreload> scripts,
                    Use use, unsigned seed);

  // Calls and posts.

  /// The serial number with which `batch` must be encoded. May be called from any thread.
  [[nodiscard]] Serial take_serial(const CommandBatch& batch) noexcept { return queue_.take_serial(batch); }

  /// Adds a call that begins at `now`, encoded as `bytes` with `serial`; `batch` must exist until the exchange is
  /// released or given up. Nothing when it is refused, and then `refusal` is the reason: the circuit is open, or too
  /// much is queued. Throws std::bad_alloc.
  [[nodiscard]] std::optional<Handle> add_call(const CommandBatch& batch, Serial serial, std::string_view bytes,
                                               const std::shared_ptr<ReplyHandler>& late, Time now, Failure& refusal);

  /// Adds a post. False when too much is queued; then `batch` and `handler` are unchanged. Throws std::bad_alloc.
  [[nodiscard]] bool add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                              std::shared_ptr<ReplyHandler>& handler, Time now);

  /// The deadline of a call that is not done has passed: the call is given up, and counted by the health when the
  /// server had time to answer. `failure` becomes the failure of the call. After kNoMemory the exchange is done, and
  /// must be released.
  GivenUp time_out(Handle call, Time now, Failure& failure, FinishedExchanges& finished) noexcept;

  /// The caller leaves without a result, because of an exception or a cancellation. As time_out(), but nothing is
  /// counted.
  GivenUp cancel(Handle call, FinishedExchanges& finished) noexcept;

  /// Takes back an exchange that is done.
  void release(Handle exchange) noexcept {
    end_probe_of(*exchange);
    queue_.release(exchange);
  }

  /// Moves posts that are not sent, in their order, to another connection of the same server.
  void move_pending_posts_to(ConnectionMachine& other) noexcept { queue_.move_pending_posts_to(other.queue_); }

  /// Ends posts that wait for a connection, certain not to have executed.
  void refuse_unsent_posts(const Failure& why, FinishedExchanges& finished) noexcept {
    if (!is_connected_) queue_.fail_pending_posts(why, finished);
  }

  // Connecting, sending and receiving.

  [[nodiscard]] Action next_action() const noexcept;

  /// Whether an attempt to connect may begin. If not, the circuit is open, and pending calls end; posts stay.
  [[nodiscard]] bool begin_connecting(Time now, FinishedExchanges& finished) noexcept;
  /// `has_answered`: the server has answered the handshake. `login`: its credentials.
  void connected(Time now, bool has_answered, const LoginRenewal& login) noexcept;
  void connect_failed(const Failure& failure, Time now, FinishedExchanges& finished) noexcept;

  /// Appends the bytes that are to be sent now to `out`, which holds those that sent() said to keep, and nothing else.
  /// Until sent() no other bytes may be sent.
  void begin_sending(Time now, std::string& out, FinishedExchanges& finished) noexcept;
  /// The last `unsent` bytes of `out` were not sent. Returns how many of them the driver keeps: the rest of an exchange
  /// that was sent in part, the first of the unsent bytes. Others are given out again. `is_broken`: sending has failed.
  [[nodiscard]] std::size_t sent(std::size_t unsent, bool is_broken, FinishedExchanges& finished) noexcept;

  /// More bytes can perhaps be sent. next_action() returns no kSend between a sent() that was not complete and this.
  void writable() noexcept { is_blocked_ = false; }

  /// `replies` were read at `now` (perhaps none), and then the connection ended if `end` has a code.
  /// `is_out_of_memory`: it ended because our memory was short. Returns the exchange that the last reply completed;
  /// null when none did.
  const Exchange* received(std::vector<Reply>& replies, const Failure& end, bool is_out_of_memory, Time now,
                           FinishedExchanges& finished) noexcept;

  /// Closes a connection that is to be replaced, after next_action() returned kClose.
  void close(Time now, FinishedExchanges& finished) noexcept;
  /// Closes the connection at once; exchanges in flight end in doubt, pending calls end too.
  void give_up_connection(const Failure& why, FinishedExchanges& finished) noexcept;
  /// Ends every exchange. Handlers may add posts meanwhile, so it is repeated until detached() is zero.
  void end(FinishedExchanges& finished) noexcept;

  // Credentials that end.

  /// When to call begin_login_renewal(); Time::max() when never.
  [[nodiscard]] Time login_due() const noexcept { return login_.due(); }
  /// Whether the driver must ask for credentials now, and then call renew_login() or login_not_renewed().
  [[nodiscard]] bool begin_login_renewal(Time now) noexcept { return is_connected_ && login_.begin(now); }
  /// Sends AUTH with credentials that were asked for at `asked_at`, before all pending exchanges; nothing when another
  /// connection has been established meanwhile. Throws std::bad_alloc.
  void renew_login(const Credentials& credentials, Time asked_at);
  /// There are no new credentials: the old ones stay.
  void login_not_renewed(const Failure& why, Time now) noexcept;

  // What is known of the server.

  /// A call that began at `since` failed on another connection to the same server.
  void failed_elsewhere(const Failure& failure, Time now, Time since, FinishedExchanges& finished) noexcept;
  /// May be called from any thread.
  [[nodiscard]] bool circuit_is_open() const noexcept { return health_.is_open(); }
  /// Whether a connection is established or may be attempted.
  [[nodiscard]] bool may_connect(Time now) const noexcept { return is_connected_ || health_.may_connect(now); }

  /// Whether a call in flight has timed out and nothing was received since. May be called from any thread.
  [[nodiscard]] bool has_timed_out() const noexcept { return has_timed_out_.load(std::memory_order_relaxed); }
  /// Whether, after such a timeout, nothing has been received for the command timeout: the peer may have disappeared
  /// without closing the connection.
  [[nodiscard]] bool is_silent(Time now) const noexcept;

  /// Whether the server answers other connections at this time.
  enum class Server : std::uint8_t { kAnswers, kFails, kUnknown };
  /// Whether replies to posts and abandoned calls are overdue at `now`: the server has answered other connections for
  /// the command timeout, and they have not come.
  [[nodiscard]] bool are_late_replies_overdue(Server server, Time now) noexcept;

  [[nodiscard]] bool is_connected() const noexcept { return is_connected_; }
  [[nodiscard]] bool is_closing() const noexcept { return is_closing_; }
  /// Whether bytes can be sent now; can_send() also requires that there are some.
  [[nodiscard]] bool may_send() const noexcept { return is_connected_ && !is_sending_ && !is_closing_; }
  [[nodiscard]] bool can_send() const noexcept { return may_send() && (queue_.has_pending() || unsent_ > 0); }

  [[nodiscard]] std::size_t in_flight() const noexcept { return queue_.in_flight(); }
  /// Posts that are not done. May be called from any thread.
  [[nodiscard]] std::size_t posted() const noexcept { return queue_.posted(); }
  /// Posts and abandoned calls.
  [[nodiscard]] std::size_t detached() const noexcept { return queue_.detached(); }
  /// Whether an abandoned call, or a post that is not done, names `key`.
  [[nodiscard]] bool has_abandoned(std::string_view key) const noexcept { return queue_.has_abandoned(key); }
  [[nodiscard]] bool has_post(std::string_view key) const noexcept { return queue_.has_post(key); }
  /// The call that has waited longest.
  [[nodiscard]] std::optional<Handle> oldest_awaited() noexcept { return queue_.oldest_awaited(); }

 private:
  GivenUp give_up(Handle call, Failure& failure, FinishedExchanges& finished) noexcept;
  void end_probe_of(const Exchange& call) noexcept;
  void note_timeout(const Failure& failure, Time now, Time since, FinishedExchanges& finished) noexcept;
  void note_outcome(const Exchange& exchange, Time now, FinishedExchanges& finished) noexcept;
  void circuit_changed(ServerHealth::Change change, const Failure& failure, FinishedExchanges& finished) noexcept;
  void lose_connection(const Failure& failure, Time now, FinishedExchanges& finished) noexcept;
  void drop_connection(const Failure& failure, FinishedExchanges& finished) noexcept;
  void preload_scripts(Time now) noexcept;
  void note_login(const Exchange& exchange, Time now) noexcept;
  [[nodiscard]] bool demands_new_connection(const Reply& reply, Time now) noexcept;
  [[nodiscard]] Time silent_since(Time now) const noexcept;

  Driver& driver_;
  const std::chrono::milliseconds command_timeout_;
  const std::shared_ptr<ScriptPreload> scripts_;
  const Use use_;
  ExchangeQueue queue_;
  ServerHealth health_;
  const Exchange* probe_ = nullptr;  // the call whose outcome decides whether the circuit is closed
  Time overdue_at_ = Time::max();    // when late replies are overdue

  // Of the connection; the flags are false while there is none.
  bool is_connected_ = false;
  bool is_closing_ = false;  // nothing more is sent: sending failed, or another server or login is needed
  bool is_sending_ = false;  // between begin_sending() and sent()
  bool is_blocked_ = false;  // the last bytes were not all sent
  bool has_answered_ = false;
  bool is_out_of_memory_ = false;  // replies were lost because our memory was short: no failure of the server
  bool is_logged_out_ = false;     // closing because the server does not accept the login any more
  std::size_t unsent_ = 0;         // bytes of an exchange that was sent in part
  LoginRenewal login_;
  Time connected_at_ = Time::min();
  Time last_received_ = Time::min();
  std::atomic<bool> has_timed_out_{false};  // a call in flight, and nothing was received since
};

}  // namespace tollgate::inline v0
