/// The seam between what decides and what talks to Redis. Inject your own implementation, or the mock of
/// `tollgate/testing/mock_redis_client.hpp`, into a RedisRateLimiter.
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

/// Receives the result of a batch that was posted, or whose execute() returned before the replies came.
class TOLLGATE_EXPORT ReplyHandler {
 public:
  virtual ~ReplyHandler() = default;

  /// Called once per batch, on whichever thread reads the reply, while no lock is held; it must not block, but may
  /// post to `client`.
  virtual void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept = 0;
};

class TOLLGATE_EXPORT RedisClient {
 public:
  /// When to give up; nothing = after the client's own command timeout.
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  RedisClient() = default;
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;
  virtual ~RedisClient() = default;

  /// Carries `batch` to Redis in one round trip and brings back one reply per command, in order. Blocks until then,
  /// or until the deadline. What went wrong is in the result; nothing is thrown but std::bad_alloc.
  ///
  /// A failure with may_have_executed is followed by exactly one call of `late` (where given): with the replies, when
  /// they turn up after all, or with the failure that made them impossible. It may come before execute() returns.
  virtual BatchResult execute(const CommandBatch& batch, Deadline deadline,
                              const std::shared_ptr<ReplyHandler>& late) = 0;

  /// Queues `batch` to be sent and returns at once. `handler` (where given) is called exactly once.
  /// It is executed after every batch about the key of its first command whose execute() returned before the call.
  virtual void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) = 0;

  /// As post(), but `batch` is not sent before `not_before`: a command that Redis refused for a while is repeated after
  /// a pause. A client without timers may send it at once, as this implementation does.
  virtual void post_at(std::chrono::steady_clock::time_point not_before, CommandBatch batch,
                       std::shared_ptr<ReplyHandler> handler) {
    static_cast<void>(not_before);
    post(std::move(batch), std::move(handler));
  }

  /// From now on each new connection is sent these scripts ahead of its first batch, in a form that runs nothing: so
  /// that a later EVALSHA finds them. They must outlive the client. No I/O. A client that has no use for it does
  /// nothing, as this implementation.
  virtual void preload(std::span<const Script* const> scripts) { static_cast<void>(scripts); }

  /// Why the server refuses to run scripts (NOPERM on EVAL, an unknown command), as the latest connection found out
  /// with the scripts of preload(). Empty: it runs them, or it is not known yet. No I/O.
  [[nodiscard]] virtual Failure script_refusal() const { return {}; }

  /// Blocks until everything posted so far, and every late reply, has been handled, or until `deadline`; true when
  /// nothing is left.
  virtual bool drain(std::chrono::steady_clock::time_point deadline) {
    static_cast<void>(deadline);
    return true;
  }

  /// What it has done so far; all zero for a client that counts nothing.
  [[nodiscard]] virtual ClientStats stats() const { return {}; }
};

}  // namespace tollgate::inline v0
