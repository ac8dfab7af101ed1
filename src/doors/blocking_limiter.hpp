/// The implementation of RedisRateLimiter and Reservation: drives decisions::DecisionFlow by blocking on a client, owns
/// the deny memory and the local share, posts undos, settlements and repairs, counts, and reports events. Its callers
/// check the arguments. Thread safety: every function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "decisions/decision_flow.hpp"
#include "decisions/reset_scan.hpp"
#include "decisions/window.hpp"
#include "doors/limiter_counters.hpp"
#include "doors/limiter_events.hpp"
#include "doors/locked_deny_memory.hpp"
#include "doors/locked_local_share.hpp"
#include "doors/post_handlers.hpp"
#include "doors/readiness.hpp"
#include "doors/script_rights.hpp"
#include "tollgate/call_options.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/redis_client.hpp"
#include "tollgate/stats.hpp"

namespace tollgate::inline v0 {

using decisions::Outcome;
using decisions::WindowId;

class BlockingLimiter {
 public:
  BlockingLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config);
  ~BlockingLimiter();
  BlockingLimiter(const BlockingLimiter&) = delete;
  BlockingLimiter& operator=(const BlockingLimiter&) = delete;

  [[nodiscard]] const RateLimitConfig& config() const noexcept { return config_; }
  [[nodiscard]] WindowId current_window() const noexcept { return decisions::window_at(clock_->now()); }

  /// Charges `tokens`; 0 = reads the counter only.
  [[nodiscard]] Outcome consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options);

  /// The decisions on all of `requests`, in their order, each as finish() returns it; at most kMostPerRoundTrip share a
  /// round trip.
  [[nodiscard]] std::vector<Decision> consume_all(std::span<const ConsumeRequest> requests, const CallOptions& options);
  static constexpr std::size_t kMostPerRoundTrip = 256;

  // Every public function ends in one of these, or in settle(), drain() or drop(): they count the result and deliver
  // the events that were queued meanwhile.

  /// Returns the decision; under kThrow, throws its failure if it has one.
  Decision finish_or_throw(Outcome outcome);
  /// Returns the decision, also when it has a failure.
  [[nodiscard]] Decision finish(const Decision& decision) noexcept;
  /// Throws `failure` unless it is empty. Counts no decision.
  void check(Failure failure);

  /// Returns a denial with `failure` set, for a call that was not sent to Redis.
  [[nodiscard]] Decision denial(Source source, std::errc failure) const noexcept;

  /// Charges `tokens` past the limit.
  [[nodiscard]] Failure record(std::string_view user_id, std::int64_t tokens, const CallOptions& options);

  [[nodiscard]] Failure reset(std::string_view user_id, decisions::ResetScan::Reach reach, const CallOptions& options);

  [[nodiscard]] Failure ping(const CallOptions& options) { return readiness_.ping(*client_, options); }
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

  /// Posts the settlement of a reservation. Never throws; a settlement that cannot be delivered is counted.
  void settle(const decisions::Settlement& settlement) noexcept;

  /// Notes that a reservation of `tokens` was destroyed without settle() or cancel().
  void drop(std::int64_t tokens) noexcept;

  [[nodiscard]] Stats stats() const;
  [[nodiscard]] Undelivered undelivered() const noexcept;

 private:
  using PendingRequest = decisions::PendingRequest;

  void start(PendingRequest& pending, std::chrono::steady_clock::time_point now) const;
  void run(std::span<PendingRequest> requests, std::chrono::steady_clock::time_point now, const CallOptions& options);
  void carry_out(PendingRequest& pending, std::chrono::steady_clock::time_point now,
                 LimiterEvents::Period period) noexcept;
  void use_share(const PendingRequest& pending) noexcept;
  void ask_local_share(PendingRequest& pending) noexcept;
  void undo(std::span<PendingRequest> requests) noexcept;
  void post(const decisions::Adjustment& adjustment) noexcept;
  [[nodiscard]] decisions::RecordPlace record_place(std::string_view user_id) const noexcept {
    return flow_.window().record_place(user_id, is_cluster_->load(std::memory_order_relaxed));
  }

  const RateLimitConfig config_;
  const decisions::DecisionFlow flow_;
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<RedisClient> client_;
  const std::unique_ptr<LockedDenyMemory> memory_;  // null = off
  const std::unique_ptr<LockedLocalShare> share_;   // null but under kLocalShare
  const std::shared_ptr<LimiterCounters> counters_;
  const std::shared_ptr<LimiterEvents> events_;
  const std::shared_ptr<ScriptRights> rights_;
  Readiness readiness_;
  const std::shared_ptr<PostHandler> undos_;
  const std::shared_ptr<PostHandler> settlements_;
  const std::shared_ptr<PostHandler> repairs_;
  const std::shared_ptr<ReplyHandler> late_charge_;
  const std::shared_ptr<ReplyHandler> late_record_;
  const std::shared_ptr<ReplyHandler> no_handler_;
  const std::shared_ptr<std::atomic<bool>> is_cluster_ =
      std::make_shared<std::atomic<bool>>(false);  // CROSSSLOT was seen
};

}  // namespace tollgate::inline v0
