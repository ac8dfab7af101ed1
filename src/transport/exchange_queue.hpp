/// The exchanges of one connection in the order of their bytes: which wait to be sent, which wait for replies, and what
/// becomes of them. Decides everything about them, and does no I/O, no locking, no waiting: the Pipeline does.
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
#include <vector>

#include "tollgate/redis_client.hpp"
#include "transport/expected_reply.hpp"
#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {

/// One batch on its way. Lives in the queue, not on its caller's stack: it may outlast the call.
struct Exchange {
  enum class Stage : std::uint8_t { kFree, kPending, kInFlight, kDone };

  Stage stage = Stage::kFree;
  bool waited_for = false;  ///< by its caller; else posted or abandoned, and its handler is told
  bool posted = false;
  Serial serial = 0;         ///< what its scripts' answers must end in
  bool retried = false;      ///< NOSCRIPT came once; the scripts were sent again as a whole
  std::size_t expected = 0;  ///< replies still to come
  std::size_t refill = 0;    ///< when retried: the place of the next reply among result.replies
  std::string bytes;
  std::size_t counted_bytes = 0;                  ///< of `bytes`, as first added
  std::chrono::steady_clock::time_point since{};  ///< when it was added
  std::chrono::steady_clock::time_point sent_at{};
  std::size_t place = 0;                ///< in flight when it was sent: 1 = first
  const CommandBatch* batch = nullptr;  ///< the caller's while it waits, else &own_batch
  CommandBatch own_batch;
  std::shared_ptr<ReplyHandler> handler;
  BatchResult result;
  WaitWord wake;  ///< signalled when done, or when its caller is to be the driver

  [[nodiscard]] bool done() const noexcept { return stage == Stage::kDone; }
};

class ExchangeQueue {
 public:
  using Handle = std::list<Exchange>::iterator;

  // What a peer that stops reading can pile up. Calls and posts are counted apart: neither can lock the other out. Nor
  // can other posts lock out those that only expire: there is room for as many again, one for each call in flight.
  static constexpr std::size_t kMaxExchanges = 4096;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20U;

  /// Best begun anywhere: then answers that a broken proxy takes from another client's connection are told apart too.
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
  /// Those, and calls that were given up in flight: all that only handlers will be told of.
  [[nodiscard]] std::size_t unattended() const noexcept { return posted() + abandoned_; }

  /// Whether a call that was given up, and may still be executed, names `key`.
  [[nodiscard]] bool has_abandoned(std::string_view key) const;

  /// A call's exchange, pending; nothing when too much is on its way. `batch` must live until the exchange is released
  /// or given up; `bytes` are those of `batch` with `serial`.
  [[nodiscard]] std::optional<Handle> add_call(const CommandBatch& batch, Serial serial, std::string_view bytes,
                                               const std::shared_ptr<ReplyHandler>& handler);
  /// A posted exchange, pending; nothing when too much is on its way, and then `batch` and `handler` are untouched.
  [[nodiscard]] std::optional<Handle> add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                                               std::shared_ptr<ReplyHandler>& handler);
  /// An exchange that carries nothing and is in no queue: a thread's identity while it drives without a call.
  [[nodiscard]] Handle borrow();

  /// Moves everything pending into flight, sent at `now`, and appends its bytes to `out`.
  void take_pending(std::chrono::steady_clock::time_point now, std::string& out);

  /// The last `unsent` bytes that were taken have not left. Whole exchanges among them become pending again, first;
  /// returns how many bytes remain of the one that left in part.
  std::size_t put_back(std::size_t unsent, std::vector<Handle>& finished);

  /// Takes the next reply of the connection; what it completes is appended to `finished`. False when nothing is in
  /// flight, or when it cannot answer what is: the connection is out of step, and no further reply may be trusted.
  [[nodiscard]] bool deliver(Reply reply, std::vector<Handle>& finished);

  /// The connection is gone: whatever is in flight is done, in doubt. What is pending stays.
  void fail_in_flight(const Failure& failure, std::vector<Handle>& finished);

  /// No connection is to be had: pending calls are done, certain not to have executed. Pending posts stay.
  void fail_pending_calls(const Failure& failure, std::vector<Handle>& finished);

  /// Nothing more will be sent: pending posts are done, certain not to have executed.
  void fail_pending_posts(const Failure& failure, std::vector<Handle>& finished);

  /// The caller stops waiting for an exchange that is not done. Pending: withdrawn, and released. In flight: it stays
  /// so that replies stay in step, and its handler will be told. Returns whether it may have executed.
  bool give_up(Handle exchange);

  /// The caller that has waited longest, in flight before pending; nothing when nobody waits.
  [[nodiscard]] std::optional<Handle> oldest_waiter();

  /// Exchanges that are kept for the next ones.
  [[nodiscard]] std::size_t idle() const noexcept { return idle_calls_.size() + idle_posts_.size(); }
  static constexpr std::size_t kMostIdlePosts = 256;

  /// Hands back an exchange that is done or was borrowed.
  void release(Handle exchange);

 private:
  static Handle take(std::list<Exchange>& idle);
  Handle add(std::list<Exchange>& idle, Serial serial, std::string_view bytes, std::size_t expected);
  void finish(std::list<Exchange>& from, Handle exchange, std::vector<Handle>& finished);
  void fail(std::list<Exchange>& from, Handle exchange, Failure failure, std::vector<Handle>& finished);
  bool retry_without_cache(Handle exchange);

  std::atomic<Serial> next_serial_;
  // Kept, so that the steady state allocates nothing. A call's is kept for good: whoever wakes its caller may still
  // touch it when that has left. Nobody wakes a post's: of what an outage piled up, few are kept.
  std::list<Exchange> idle_calls_;
  std::list<Exchange> idle_posts_;
  std::list<Exchange> pending_;
  std::list<Exchange> in_flight_;
  std::list<Exchange> done_;
  std::size_t calls_ = 0;       // not yet done
  std::size_t call_bytes_ = 0;  // of those
  std::atomic<std::size_t> posted_{0};
  std::size_t abandoned_ = 0;
};

}  // namespace tollgate::inline v0
