/// The exchanges of one connection in the order of their bytes: which wait to be sent, which wait for replies, and how
/// each ends. Decides everything about them, and does no I/O, no locking, no waiting: the Pipeline does.
///
/// Memory is taken only when an exchange is added. What ends one (a reply, a lost connection, a deadline) allocates
/// nothing and throws nothing, so that a call which has been sent always has an outcome.
/// Thread safety: none but where said; the Pipeline's lock guards it.
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

/// One batch on its way. Lives in the queue, not on its caller's stack: it may outlast the call.
struct Exchange {
  enum class Stage : std::uint8_t { kFree, kPending, kInFlight, kDone };

  Stage stage = Stage::kFree;
  bool awaited = false;  ///< its caller waits; otherwise it is a post or an abandoned call, and its handler is called
  bool posted = false;
  Serial serial = 0;         ///< what its scripts' answers must end in
  bool retried = false;      ///< NOSCRIPT came once; the scripts were sent again with their source
  std::size_t expected = 0;  ///< replies still to come
  std::size_t refill = 0;    ///< when retried: the place of the next reply among result.replies
  std::string bytes;
  std::size_t counted_bytes = 0;                  ///< of `bytes`, as first added
  std::chrono::steady_clock::time_point since{};  ///< when it was added
  std::chrono::steady_clock::time_point sent_at{};
  std::size_t place = 0;                ///< its place among those in flight when it was sent: 1 = first
  const CommandBatch* batch = nullptr;  ///< the caller's while it waits, else &own_batch
  CommandBatch own_batch;
  std::shared_ptr<ReplyHandler> handler;
  BatchResult result;
  WaitWord wake;                      ///< signalled when done, or when its caller is to be the driver
  ExchangeList::iterator self{};      ///< its place in the list that holds it
  Exchange* next_finished = nullptr;  ///< of FinishedExchanges

  [[nodiscard]] bool done() const noexcept { return stage == Stage::kDone; }
};

/// Exchanges that have just ended, oldest first, linked through themselves: to note one allocates nothing.
class FinishedExchanges {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] const Exchange* first() const noexcept { return first_; }
  [[nodiscard]] const Exchange* last() const noexcept { return last_; }

  void push_back(Exchange& exchange) noexcept {
    exchange.next_finished = nullptr;
    (first_ == nullptr ? first_ : last_->next_finished) = &exchange;
    last_ = &exchange;
  }
  /// The oldest; must not be empty.
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

  // What a peer that stops reading can pile up. Calls and posts are counted apart, so that neither can use up the
  // other's room. Posts that only expire keys have as much room again: one for each call in flight.
  // Commands in flight are fewer than 2^16, so that a serial number is never used twice at a time.
  static constexpr std::size_t kMaxExchanges = 4096;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20U;  // of calls
  static constexpr std::size_t kMaxPostedCommands = 8192;
  static constexpr std::size_t kMaxPostedBytes = std::size_t{8} << 20U;  // posts carry the source of their scripts

  /// Best begun at a random number: then answers that a broken proxy takes from another client's connection are
  /// noticed.
  explicit ExchangeQueue(Serial first_serial = 0) : next_serial_(first_serial) {}

  /// The serial number that the bytes of `batch` are to be written with. From any thread.
  [[nodiscard]] Serial take_serial(const CommandBatch& batch) noexcept {
    return next_serial_.fetch_add(static_cast<Serial>(batch.size()), std::memory_order_relaxed);
  }

  [[nodiscard]] bool has_pending() const noexcept { return !pending_.empty(); }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_.size(); }
  /// Since when the oldest of them has been on its way; nothing when none is.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> in_flight_since() const noexcept {
    return in_flight_.empty() ? std::nullopt : std::optional{in_flight_.front().since};
  }
  /// Posted and not yet done. From any thread.
  [[nodiscard]] std::size_t posted() const noexcept { return posted_.load(std::memory_order_relaxed); }
  /// Calls that were given up in flight and have not ended.
  [[nodiscard]] std::size_t abandoned() const noexcept { return abandoned_; }
  /// Posts and abandoned calls: no thread waits for them.
  [[nodiscard]] std::size_t detached() const noexcept { return posted() + abandoned_; }

  /// Whether a call that was given up, and may still be executed, names `key`.
  [[nodiscard]] bool has_abandoned(std::string_view key) const noexcept;

  /// A call's exchange, pending; nothing when too much is on its way. `batch` must live until the exchange is released
  /// or given up; `bytes` are those of `batch` with `serial`.
  [[nodiscard]] std::optional<Handle> add_call(const CommandBatch& batch, Serial serial, std::string_view bytes,
                                               const std::shared_ptr<ReplyHandler>& handler);
  /// A posted exchange, pending; nothing when too much is on its way, and then `batch` and `handler` are untouched.
  /// `first`: sent before everything that is pending.
  [[nodiscard]] std::optional<Handle> add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                                               std::shared_ptr<ReplyHandler>& handler, bool first = false);

  /// Moves what is pending into flight, sent at `now`, and appends its bytes to `out`. Where memory is short, fewer: an
  /// exchange that does not even fit by itself fails, certain not to have executed.
  void take_pending(std::chrono::steady_clock::time_point now, std::string& out, FinishedExchanges& finished) noexcept;

  /// The last `unsent` bytes that were taken have not left. Whole exchanges among them become pending again, first;
  /// returns how many bytes remain of the one that left in part.
  std::size_t put_back(std::size_t unsent, FinishedExchanges& finished) noexcept;

  enum class Delivery : std::uint8_t {
    kTaken,
    kOutOfStep,    ///< nothing is in flight, or the reply cannot answer what is: no further reply may be trusted
    kOutOfMemory,  ///< the reply is lost, and with it the order of those that follow
  };
  /// Takes the next reply of the connection; what it completes is appended to `finished`.
  [[nodiscard]] Delivery deliver(Reply reply, FinishedExchanges& finished) noexcept;

  /// The connection is gone: whatever is in flight is done, in doubt. What is pending stays.
  void fail_in_flight(const Failure& failure, FinishedExchanges& finished) noexcept;

  /// No connection is to be had: pending calls are done, certain not to have executed. Pending posts stay.
  void fail_pending_calls(const Failure& failure, FinishedExchanges& finished) noexcept;

  /// Nothing more will be sent: pending posts are done, certain not to have executed.
  void fail_pending_posts(const Failure& failure, FinishedExchanges& finished) noexcept;

  enum class GivenUp : std::uint8_t {
    kWithdrawn,  ///< it was pending: certain not to have executed, and released
    kAbandoned,  ///< it stays so that replies stay in step; its handler will be called
    kNoMemory,   ///< nothing has changed: its batch could not be copied
  };
  /// The caller stops waiting for an exchange that is not done.
  [[nodiscard]] GivenUp give_up(Handle exchange) noexcept;

  /// Ends an exchange that is pending, as if its connection had been lost.
  void fail_pending(Handle exchange, const Failure& failure, FinishedExchanges& finished) noexcept;

  /// The oldest pending post leaves the queue; nothing when there is none. Its handler is the caller's from then on.
  struct Post {
    CommandBatch batch;
    std::shared_ptr<ReplyHandler> handler;
  };
  [[nodiscard]] std::optional<Post> take_pending_post() noexcept;

  /// Removes pending posts with this handler, without calling it.
  void discard_pending(const ReplyHandler& handler) noexcept;

  /// The call that has waited longest, in flight before pending; nothing when no caller waits.
  [[nodiscard]] std::optional<Handle> oldest_awaited() noexcept;

  /// Exchanges that are kept for the next ones.
  [[nodiscard]] std::size_t idle() const noexcept { return idle_calls_.size() + idle_posts_.size(); }
  static constexpr std::size_t kMaxIdlePosts = 256;

  /// Takes back an exchange that is done.
  void release(Handle exchange) noexcept;

 private:
  static Handle take(ExchangeList& idle);
  Handle add(ExchangeList& idle, Serial serial, std::string_view bytes, std::size_t expected, bool first);
  void finish(ExchangeList& from, Handle exchange, FinishedExchanges& finished) noexcept;
  void fail(ExchangeList& from, Handle exchange, const Failure& failure, FinishedExchanges& finished) noexcept;
  void fail_all(ExchangeList& from, bool posted, const Failure& failure, FinishedExchanges& finished) noexcept;
  bool retry_with_source(Handle exchange);
  [[nodiscard]] bool take_reply(Handle exchange, Reply reply);

  std::atomic<Serial> next_serial_;
  // Kept, so that the steady state allocates nothing. A call's is kept for good: the thread that wakes its caller may
  // still touch it when that has left. A post's has no waiter: of what an outage piled up, few are kept.
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
