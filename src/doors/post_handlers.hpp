/// Handlers of the batches that a limiter posts: undos, settlements and repairs. A batch that Redis refuses temporarily
/// is posted again; one that cannot be delivered is counted and reported. Handlers outlive their limiter while its
/// posts are in flight. Thread safety: handlers are called on any thread, as ReplyHandler says.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "decisions/fixed_window.hpp"
#include "doors/limiter_counters.hpp"
#include "doors/limiter_events.hpp"
#include "doors/script_rights.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

/// The handler of one kind of posts. Commands that Redis refused without executing them are posted again until their
/// window ends (scripts of budgets, whatever the window), after pauses that grow from 100 ms to 5 s, at most
/// kMostAttempts times: unchanged where the refusal is temporary (OOM, LOADING, BUSY, READONLY, MISCONF); a refused
/// script at once, as INCRBY and EXPIRE. An INCRBY that may have been executed is not repeated, but its EXPIRE is.
class PostHandler final : public ReplyHandler, public std::enable_shared_from_this<PostHandler> {
 public:
  static constexpr int kMostAttempts = 20;

  /// `failed`: the event that is reported for the first undelivered batch after a success.
  PostHandler(EventKind failed, std::shared_ptr<const Clock> clock, std::shared_ptr<LimiterCounters> counters,
              std::shared_ptr<LimiterEvents> events, std::shared_ptr<ScriptRights> rights);

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override;

  /// `attempts`: how often the batch was posted before.
  void handle_attempt(RedisClient& client, const CommandBatch& batch, const BatchResult& result, int attempts) noexcept;

  /// Notes that changes of `tokens` in all were not delivered.
  void lost(std::int64_t tokens, const Failure& failure) noexcept;

 private:
  enum class Again : std::uint8_t { kNo, kLater, kWithoutScript, kExpiryAlone };
  struct Retry;

  [[nodiscard]] Again how_to_repeat(const Command& command, const Failure& failure, int attempts) const noexcept;
  [[nodiscard]] std::int64_t repeat(RedisClient& client, CommandBatch batch, bool later, int attempts) noexcept;

  const EventKind failed_;
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<LimiterCounters> counters_;
  const std::shared_ptr<LimiterEvents> events_;
  const std::shared_ptr<ScriptRights> rights_;
  std::atomic<bool> failing_{false};
};

/// Corrects charges whose call had returned when the outcome became known, see FixedWindow::correct_late_charges.
class LateCharge final : public ReplyHandler {
 public:
  LateCharge(decisions::PolicyAnswer answer, std::shared_ptr<PostHandler> undos, std::shared_ptr<PostHandler> repairs,
             std::shared_ptr<ScriptRights> rights);

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override;

 private:
  const decisions::PolicyAnswer answer_;
  const std::shared_ptr<PostHandler> undos_;
  const std::shared_ptr<PostHandler> repairs_;
  const std::shared_ptr<ScriptRights> rights_;
};

/// The handler of a settlement that is executed once. A Cluster refuses its script with CROSSSLOT where the record of
/// the settlement is in another hash slot than the counter: then the record is written beside the counter of the
/// reservation. Excess for a later window than that takes two steps: the settlement is recorded beside the counter of
/// the reservation, and charged when there was no record before.
class OnceSettlement final : public ReplyHandler, public std::enable_shared_from_this<OnceSettlement> {
 public:
  /// Posts `adjustment`, which has a once_id. `is_cluster`: set when CROSSSLOT is seen.
  static void post(RedisClient& client, const decisions::Adjustment& adjustment, const decisions::FixedWindow& window,
                   std::shared_ptr<PostHandler> settlements, std::shared_ptr<std::atomic<bool>> is_cluster);

  OnceSettlement(const decisions::Adjustment& adjustment, decisions::FixedWindow window,
                 std::shared_ptr<PostHandler> settlements, std::shared_ptr<std::atomic<bool>> is_cluster);

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override;

 private:
  void post(RedisClient& client);
  void charge_after_record(RedisClient& client, const CommandBatch& batch, const BatchResult& result);

  const std::string user_id_;
  const std::string once_id_;
  decisions::Adjustment adjustment_;  // its texts are the two above
  const decisions::FixedWindow window_;
  const std::shared_ptr<PostHandler> settlements_;
  const std::shared_ptr<std::atomic<bool>> is_cluster_;
  bool records_first_ = false;
};

/// The failure of command number `index` of a posted batch; empty when it succeeded.
[[nodiscard]] Failure failure_of(const CommandBatch& batch, const BatchResult& result, std::size_t index) noexcept;

/// The failure of a post for which memory was short.
[[nodiscard]] Failure no_memory() noexcept;

}  // namespace tollgate::inline v0
