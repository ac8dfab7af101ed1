/// The exchanges of one connection in the order of their bytes: pending ones, which are not sent yet, and those in
/// flight, which wait for replies. It decides how each ends; ConnectionMachine decides when.
///
/// Memory is allocated only when an exchange is added. A reply, a lost connection or a deadline, which end exchanges,
/// allocate and throw nothing, so that a call that has been sent always has an outcome.
/// Thread safety: none except where stated; the driver's lock guards it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tollgate/redis_client.hpp"
#include "transport/expected_reply.hpp"
#include "transport/resp_encoder.hpp"
#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {

struct Exchange;
using ExchangeList = std::list<Exchange>;

/// One batch, pending or in flight. It is stored in the queue, not on its caller's stack, because it may outlast the
/// call.
struct Exchange {
  enum class Stage : std::uint8_t { kFree, kPending, kInFlight, kDone };

  Stage stage = Stage::kFree;
  bool awaited = false;  ///< its caller waits; otherwise it is a post or an abandoned call, and its handler is called
  bool posted = false;
  bool is_login = false;     ///< AUTH: a post without a batch, whose arguments are in `bytes` alone
  Serial serial = 0;         ///< the serial number of its first command
  bool retried = false;      ///< after NOSCRIPT, the scripts were sent again with their source
  std::size_t expected = 0;  ///< replies still to come
  std::size_t refill = 0;    ///< when retried: the index of the next reply in result.replies
  std::string bytes;
  std::size_t counted_bytes = 0;                  ///< the size of `bytes` when it was added
  std::chrono::steady_clock::time_point since{};  ///< when it was added
  std::chrono::steady_clock::time_point sent_at{};
  std::size_t place = 0;                ///< its position among those in flight when it was sent: 1 = first
  const CommandBatch* batch = nullptr;  ///< the caller's batch while that waits, else &own_batch
  CommandBatch own_batch;
  std::shared_ptr<ReplyHandler> handler;
  BatchResult result;
  WaitWord wake;                      ///< signalled when it is done, or when its caller becomes the driver
  ExchangeList::iterator self{};      ///< its position in the list that contains it
  Exchange* next_finished = nullptr;  ///< the link of FinishedExchanges

  [[nodiscard]] bool done() const noexcept { return stage == Stage::kDone; }
};

/// Exchanges that have just ended, oldest first, as an intrusive list, so that adding one allocates nothing.
class FinishedExchanges {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] Exchange* first() const noexcept { return first_; }
  [[nodiscard]] const Exchange* last() const noexcept { return last_; }

  void push_back(Exchange& exchange) noexcept {
    exchange.next_finished = nullptr;
    (first_ == nullptr ? first_ : last_->next_finished) = &exchange;
    last_ = &exchange;
  }
  /// Appends those of `others`, which must not be changed any more.
  void append(const FinishedExchanges& others) noexcept {
    if (others.empty()) return;
    (first_ == nullptr ? first_ : last_->next_finished) = others.first_;
    last_ = others.last_;
  }
  /// Removes the oldest; the list must not be empty.
  Exchange& pop_front() noexcept {
    Exchange& exchange = *first_;
    first_ = exchange.next_finished;
    return exchange;
  }

 private:
  Exchange* first_ = nullptr;
  Exchange* last_ = nullptr;
};

class ExchangeQueue {
 public:
  using Handle = ExchangeList::iterator;

  // The most that is queued when a peer stops reading. Calls and posts have separate limits, so that neither can use up
  // the other's. Posts that only set expiries have a further limit, which allows one for each call in flight.
  // Commands in flight are fewer than 2^16, so that no two of them have the same serial number.
  static constexpr std::size_t kMaxExchanges = 4096;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20U;  // of calls
  static constexpr std::size_t kMaxPostedCommands = 8192;
  static constexpr std::size_t kMaxPostedBytes = std::size_t{8} << 20U;  // posts carry the source of their scripts

  /// `serial` should be random, so that a reply to another client, mixed up by a broken proxy, is detected.
  explicit ExchangeQueue(Serial first_serial = 0) : next_serial_(first_serial) {}

  /// The serial number with which `batch` must be encoded. May be called from any thread.
  [[nodiscard]] Serial take_serial(const CommandBatch& batch) noexcept {
    return next_serial_.fetch_add(static_cast<Serial>(batch.size()), std::memory_order_relaxed);
  }

  [[nodiscard]] bool has_pending() const noexcept { return !pending_.empty(); }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_.size(); }
  /// When the oldest exchange in flight was sent; nothing when none is in flight.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> in_flight_since() const noexcept {
    return in_flight_.empty() ? std::nullopt : std::optional{in_flight_.front().since};
  }
  /// Posts that are not done. May be called from any thread.
  [[nodiscard]] std::size_t posted() const noexcept { return posted_.load(std::memory_order_relaxed); }
  /// Calls that were abandoned in flight and are not done.
  [[nodiscard]] std::size_t abandoned() const noexcept { return abandoned_; }
  /// Posts and abandoned calls: no thread waits for them.
  [[nodiscard]] std::size_t detached() const noexcept { return posted() + abandoned_; }

  /// Whether an abandoned call, which may still be executed, names `key`.
  [[nodiscard]] bool has_abandoned(std::string_view key) const noexcept;
  /// Whether a post that is not done names `key`.
  [[nodiscard]] bool has_post(std::string_view key) const noexcept;

  /// Adds a pending exchange for a call; nothing when the limits are reached. `batch` must exist until the exchange is
  /// released or given up; `bytes` encode `batch` with `serial`.
  [[nodiscard]] std::optional<Handle> add_call(const CommandBatch& batch, Serial serial, std::string_view bytes,
                                               const std::shared_ptr<ReplyHandler>& handler);
  /// Adds a pending exchange for a post; nothing when the limits are reached, and then `batch` and `handler` are
  /// unchanged. `first`: sent before all other pending exchanges.
  [[nodiscard]] std::optional<Handle> add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                                               std::shared_ptr<ReplyHandler>& handler, bool first = false);

  /// Adds AUTH, encoded as `bytes`, as a post that is sent before all other pending exchanges. Throws std::bad_alloc.
  void add_login(std::string_view bytes, std::chrono::steady_clock::time_point now);
  /// Whether the next reply is the one to AUTH.
  [[nodiscard]] bool awaits_login_reply() const noexcept { return !in_flight_.empty() && in_flight_.front().is_login; }
  /// Removes AUTH if it is pending: it is for this connection alone.
  void discard_pending_login() noexcept;

  /// Moves pending exchanges into flight, sent at `now`, and appends their bytes to `out`; fewer when memory is short.
  /// An exchange for which even an empty `out` has no memory fails, certain not to have executed.
  void take_pending(std::chrono::steady_clock::time_point now, std::string& out, FinishedExchanges& finished) noexcept;

  /// Notes that the last `unsent` bytes were not sent. Exchanges wholly among them become pending again, before others;
  /// returns the number of unsent bytes of an exchange that was sent in part.
  std::size_t put_back(std::size_t unsent, FinishedExchanges& finished) noexcept;

  enum class Delivery : std::uint8_t {
    kTaken,
    kOutOfStep,    ///< nothing is in flight, or the reply does not fit the command: later replies are not reliable
    kOutOfMemory,  ///< the reply is lost, so later ones cannot be assigned to their commands
  };
  /// Takes the next reply of the connection; an exchange that it completes is appended to `finished`.
  [[nodiscard]] Delivery deliver(Reply&& reply, FinishedExchanges& finished) noexcept;

  /// Ends all exchanges in flight, in doubt, because the connection has ended. Pending ones stay.
  void fail_in_flight(const Failure& failure, FinishedExchanges& finished) noexcept;

  /// Ends pending calls, certain not to have executed, because no connection can be made. Pending posts stay.
  void fail_pending_calls(const Failure& failure, FinishedExchanges& finished) noexcept;

  /// Ends pending posts, certain not to have executed, because nothing more will be sent.
  void fail_pending_posts(const Failure& failure, FinishedExchanges& finished) noexcept;

  enum class GivenUp : std::uint8_t {
    kWithdrawn,  ///< it was pending: certain not to have executed, and released
    kAbandoned,  ///< it stays, to receive its replies; its handler will be called
    kNoMemory,   ///< unchanged, because its batch could not be copied
  };
  /// Gives up an exchange that is not done, because its caller stops waiting.
  [[nodiscard]] GivenUp give_up(Handle exchange) noexcept;

  /// Ends an exchange that is pending, as if its connection had been lost.
  void fail_pending(Handle exchange, const Failure& failure, FinishedExchanges& finished) noexcept;

  /// Moves pending posts, in their order, behind the pending exchanges of `other`; beyond its limits, if need be.
  void move_pending_posts_to(ExchangeQueue& other) noexcept;

  /// Removes pending posts with this handler, without calling it.
  void discard_pending(const ReplyHandler& handler) noexcept;

  /// The call that has waited longest, those in flight before pending ones; nothing when no caller waits.
  [[nodiscard]] std::optional<Handle> oldest_awaited() noexcept;

  /// The number of exchanges that are kept for reuse.
  [[nodiscard]] std::size_t idle() const noexcept { return idle_calls_.size() + idle_posts_.size(); }
  static constexpr std::size_t kMaxIdlePosts = 256;

  /// Takes back an exchange that is done, for reuse.
  void release(Handle exchange) noexcept;

 private:
  static Handle take(ExchangeList& idle);
  Handle add(ExchangeList& idle, Serial serial, std::string_view bytes, std::size_t expected, bool first);
  template <class Matches>
  void discard_pending_if(Matches matches) noexcept;
  void finish(ExchangeList& from, Handle exchange, FinishedExchanges& finished) noexcept;
  void fail(ExchangeList& from, Handle exchange, const Failure& failure, FinishedExchanges& finished) noexcept;
  void fail_all(ExchangeList& from, bool posted, const Failure& failure, FinishedExchanges& finished) noexcept;
  bool retry_with_source(Handle exchange);
  template <class Matches>
  [[nodiscard]] bool has(std::string_view key, Matches matches) const noexcept;
  [[nodiscard]] bool take_reply(Handle exchange, Reply& reply);

  std::atomic<Serial> next_serial_;
  // Kept for reuse, so that the steady state allocates nothing. Exchanges of calls are never freed, because the thread
  // that wakes a caller may still access the exchange after the caller has left. Of posts, which have no waiter and may
  // be many after an outage, few are kept.
  ExchangeList idle_calls_;
  ExchangeList idle_posts_;
  ExchangeList pending_;
  ExchangeList in_flight_;
  ExchangeList done_;
  std::size_t calls_ = 0;       // not yet done
  std::size_t call_bytes_ = 0;  // of those
  std::size_t posted_commands_ = 0;
  std::size_t posted_bytes_ = 0;
  std::atomic<std::size_t> posted_{0};
  std::size_t abandoned_ = 0;
};

}  // namespace tollgate::inline v0
