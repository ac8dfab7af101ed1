/// The implementation of BudgetLimiter and BudgetReservation: drives decisions::BudgetFlow by blocking on a client,
/// owns the deny memory and the local shares, posts settlements, counts, and reports events. Its callers check the
/// options. Thread safety: every function may be called from all threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "decisions/budget_flow.hpp"
#include "decisions/held_charges.hpp"
#include "doors/budget_events.hpp"
#include "doors/limiter_counters.hpp"
#include "doors/limiter_events.hpp"
#include "doors/local_shares.hpp"
#include "doors/locked_refusal_memory.hpp"
#include "doors/post_handlers.hpp"
#include "doors/readiness.hpp"
#include "doors/script_rights.hpp"
#include "tollgate/budget_config.hpp"
#include "tollgate/budget_decision.hpp"
#include "tollgate/call_options.hpp"
#include "tollgate/redis_client.hpp"
#include "tollgate/stats.hpp"

namespace tollgate::inline v0 {

class BlockingBudget {
 public:
  using Kind = decisions::PendingBudget::Kind;

  BlockingBudget(std::shared_ptr<RedisClient> client, BudgetConfig config);
  ~BlockingBudget();
  BlockingBudget(const BlockingBudget&) = delete;
  BlockingBudget& operator=(const BlockingBudget&) = delete;

  [[nodiscard]] const BudgetConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::span<const Limit> limits() const noexcept { return config_.limits; }
  [[nodiscard]] std::chrono::system_clock::time_point now() const noexcept { return clock_->now(); }

  /// The charges that are asked for. Slots may be taken by reserve() alone; it gives each a lease.
  enum class Slots : std::uint8_t { kRefused, kLooked, kLeased };
  [[nodiscard]] decisions::BudgetCharges resolve(std::span<const Charge> charges, Slots slots) const;

  /// Asks Redis; the items of `charges` have the states of its reply. kRecord: the outcome is a failure or none.
  [[nodiscard]] decisions::BudgetOutcome ask(Kind kind, decisions::BudgetCharges& charges, const CallOptions& options);

  /// The decisions on all of `requests`, in their order, each as finish() returns it.
  [[nodiscard]] std::vector<BudgetDecision> consume_all(std::span<const BudgetRequest> requests,
                                                        const CallOptions& options);
  static constexpr std::size_t kMostPerRoundTrip = 64;

  // Every public function ends in one of these, or in settle(), drain() or drop(): they count the result and deliver
  // the events that were queued meanwhile.

  /// Returns the decision; under kThrow, throws its failure if it has one.
  [[nodiscard]] BudgetDecision finish_or_throw(decisions::BudgetOutcome outcome);
  /// Returns the decision, also when it has a failure.
  [[nodiscard]] BudgetDecision finish(BudgetDecision decision) noexcept;
  /// Throws `failure` unless it is empty. Counts no decision.
  void check(Failure failure);

  /// Returns a refusal without states, with `failure` set, for a call that was not sent to Redis.
  [[nodiscard]] static BudgetDecision refusal(Source source, std::errc failure) noexcept;

  [[nodiscard]] Failure reset(std::string_view limit, std::string_view subject, const CallOptions& options);
  [[nodiscard]] Failure ping(const CallOptions& options) { return readiness_.ping(*client_, options); }
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

  /// Posts the settlement of what is held; when `once_id` is not empty, it is executed once under this id. Never
  /// throws; a settlement that cannot be delivered is counted.
  void settle(const decisions::HeldCharges& held, std::span<const std::int64_t> actual_costs,
              std::string_view once_id) noexcept;

  /// Notes that a reservation of `amount` was destroyed without settle() or cancel().
  void drop(std::int64_t amount) noexcept;

  [[nodiscard]] Stats stats() const;
  [[nodiscard]] Undelivered undelivered() const noexcept { return counters_->undelivered(); }
  [[nodiscard]] std::string subject_hash(std::string_view subject) const {
    return budget_events_.subject_hash(subject);
  }

 private:
  using PendingBudget = decisions::PendingBudget;
  using Time = std::chrono::steady_clock::time_point;

  void start(PendingBudget& pending, Time now);
  void apply_overrides(decisions::BudgetCharges& charges) noexcept;
  void run(std::span<PendingBudget> requests, Time now, const CallOptions& options);
  void give_back(std::span<PendingBudget> requests) noexcept;
  void carry_out(PendingBudget& pending, Time now, LimiterEvents::Period period) noexcept;
  void use_share(const PendingBudget& pending) noexcept;
  void ask_local_share(PendingBudget& pending) noexcept;
  void post(const decisions::BudgetAdjustment& adjustment, std::int64_t amount) noexcept;

  const BudgetConfig config_;
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<RedisClient> client_;
  const decisions::BudgetFlow flow_;
  const std::unique_ptr<LockedRefusalMemory> memory_;  // null = off
  const std::unique_ptr<LocalShares> shares_;          // null but under kLocalShare
  const std::shared_ptr<LimiterCounters> counters_;
  const std::shared_ptr<LimiterEvents> events_;
  const std::shared_ptr<ScriptRights> rights_;
  BudgetEvents budget_events_;
  Readiness readiness_;
  const std::shared_ptr<PostHandler> undos_;
  const std::shared_ptr<PostHandler> settlements_;
  const std::shared_ptr<ReplyHandler> late_charge_;  // null where late charges are wanted
  const std::shared_ptr<ReplyHandler> no_handler_;
};

}  // namespace tollgate::inline v0
