/// The interface between the limiter, which decides, and the client, which exchanges commands and replies with Redis.
/// Inject your own implementation, or the mock of `tollgate/testing/mock_redis_client.hpp`, into a RedisRateLimiter.
/// Thread safety: every implementation is shared by many threads and must take concurrent calls.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "tollgate/detail/export.hpp"
#include "tollgate/error.hpp"
#include "tollgate/stats.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

class RedisClient;

/// Receives the result of a batch that was posted, or whose execute() returned before the replies came. A client that
/// divides batches between servers (a Cluster) passes it one result for each part.
class TOLLGATE_EXPORT ReplyHandler {
 public:
  virtual ~ReplyHandler() = default;

  /// `batch` has the commands of the part, in their order: of the whole batch where it was not divided. Called on
  /// whichever thread reads the reply, while no lock is held, for several parts also at the same time; it must not
  /// block, but may post to `client`.
  virtual void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept = 0;
};

class TOLLGATE_EXPORT RedisClient {
 public:
  /// When the call must have returned; nothing = after the client's command timeout.
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  RedisClient() = default;
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;
  virtual ~RedisClient() = default;

  /// Sends `batch` to Redis in one round trip and returns one reply per command, in order. Blocks until the replies
  /// have come, or until the deadline. Errors are in the result; throws std::bad_alloc only.
  ///
  /// A failure with may_have_executed, of the whole batch or of some of its commands (BatchResult::failed_commands), is
  /// followed by one call of `late` (where given) for each part in doubt, which is the whole batch where it was not
  /// divided: with the replies, when they arrive later, or with the failure that made them impossible. These calls may
  /// come before execute() returns. A client that divided the batch and has no memory left to put the results together
  /// makes one more call, with the whole batch and that failure.
  virtual BatchResult execute(const CommandBatch& batch, Deadline deadline,
                              const std::shared_ptr<ReplyHandler>& late) = 0;

  /// Queues `batch` to be sent and returns at once. `handler` (where given) is called exactly once, or, where the
  /// client divides the batch, once for each part; each command is in exactly one of the parts. Redis executes it after
  /// every batch on the key of its first command whose execute() had returned before the call.
  virtual void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) = 0;

  /// As post(), but `batch` is not sent before `not_before`; used to repeat a command that Redis refused temporarily. A
  /// client without timers may send it at once, as this implementation does.
  virtual void post_at(std::chrono::steady_clock::time_point not_before, CommandBatch batch,
                       std::shared_ptr<ReplyHandler> handler) {
    static_cast<void>(not_before);
    post(std::move(batch), std::move(handler));
  }

  /// Makes each new connection load these scripts before its first batch, without running them, so that a later EVALSHA
  /// finds them. They must outlive the client. No I/O. A client that needs no scripts does nothing, as this
  /// implementation.
  virtual void preload(std::span<const Script* const> scripts) { static_cast<void>(scripts); }

  /// Why the server refuses to run scripts (NOPERM on EVAL, an unknown command), as found when the latest connection
  /// loaded the scripts of preload(). Empty: it runs them, or it has not been tried yet. No I/O.
  [[nodiscard]] virtual Failure script_refusal() const { return {}; }

  /// Whether keys may lie on different servers, so that a script may name keys of one hash slot only: true for a
  /// Cluster.
  [[nodiscard]] virtual bool divides_by_slot() const { return false; }

  /// Blocks until every post made so far and every late reply has been handled, or until `deadline`; true when none is
  /// left.
  virtual bool drain(std::chrono::steady_clock::time_point deadline) {
    static_cast<void>(deadline);
    return true;
  }

  /// The counters since the client was made; all zero for a client that counts nothing.
  [[nodiscard]] virtual ClientStats stats() const { return {}; }
};

}  // namespace tollgate::inline v0
