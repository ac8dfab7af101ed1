/// A limiter with several limits, asked at once: a request is charged to all of its limits or to none.
///
///     tollgate::BudgetLimiter limiter{"redis://localhost:6379/0", {.limits = {
///         {.name = "requests", .max = 100},
///         {.name = "team-tokens", .max = 2'000'000, .window = tollgate::Window::utc_day()}}}};
///     const auto decision = limiter.consume({{"requests", "key_1"}, {"team-tokens", "team_7", estimated_tokens}});
///     if (!decision) return too_many_requests(decision.retry_after);
///
/// A request has 1 … 16 charges (kMaxCharges), each with a limit's name, a subject and a cost. Costs of the same limit
/// and subject add up. One script checks all charges and then makes them, by the clock of the Redis server, so hosts
/// whose clocks disagree share one budget. A refused request changes nothing in Redis.
///
/// Blocking: each function blocks for at most one round trip, and never past CallOptions::deadline; without one, for
/// the client's command timeout (250 ms by default). No round trip is made for a cost above its limit, nor for a charge
/// that this process remembers as refused (BudgetConfig::deny_memory).
///
/// Errors: std::invalid_argument, before anything is sent, when an argument is out of its range. tollgate::Error when
/// Redis gave no usable reply, unless BudgetConfig::on_failure says otherwise. A refusal is a value, not an error.
///
/// On a Redis Cluster, charges whose keys lie in one hash slot, as those of one subject do, are one script as
/// elsewhere. Others are one script for each slot, sent to their nodes at once, in the time of one round trip. Where
/// one of them refuses or fails, the others are given back by a post. So no limit is ever passed, and a refused request
/// is charged nowhere once its post has arrived; until then it may cause refusals of others. What is given back after
/// its window has ended, or by a post that is lost (undelivered()), stays charged. A record() that fails may have been
/// made in part: its error has may_have_executed(). With CallOptions::operation_id, all charges must have the same
/// subject: otherwise the call fails with Errc::kCrossSlot under every on_failure, and charges nothing.
///
/// Thread safety: every function may be called from all threads; so may several limiters on one client.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/budget_config.hpp"
#include "tollgate/budget_decision.hpp"
#include "tollgate/budget_reservation.hpp"
#include "tollgate/call_options.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/stats.hpp"

namespace tollgate::inline v0 {

class BlockingBudget;  // src/doors/blocking_budget.hpp

class TOLLGATE_EXPORT BudgetLimiter {
 public:
  /// Uses the client that this process has for `url` and the observer of `config`, or makes one: see connect_shared().
  /// The clock of `config` is also that of a `memory://` store. No I/O: the client connects at its first use.
  BudgetLimiter(std::string_view url, BudgetConfig config);

  /// Likewise, with options for its client, in which a null observer or clock is replaced by that of `config`.
  BudgetLimiter(std::string_view url, BudgetConfig config, ClientOptions client);

  /// Shares `client`, which must not be null.
  BudgetLimiter(std::shared_ptr<RedisClient> client, BudgetConfig config);

  /// Neither copied nor moved, as RedisRateLimiter.
  BudgetLimiter(const BudgetLimiter&) = delete;
  BudgetLimiter& operator=(const BudgetLimiter&) = delete;

  /// Charges all costs when each fits, otherwise none. Costs of 0 only: charges nothing, allowed unless a limit is
  /// exceeded already. CallOptions::operation_id makes a repetition within two minutes return the first answer; ids are
  /// unique per subject of the first charge, and a repetition must have the same charges in the same order.
  [[nodiscard]] BudgetDecision consume(std::span<const Charge> charges, const CallOptions& options = {});
  [[nodiscard]] BudgetDecision consume(std::initializer_list<Charge> charges, const CallOptions& options = {}) {
    return consume(span_of(charges), options);
  }

  /// As consume, without exceptions, for outages under load: where kThrow would throw, it refuses with `failure` set.
  /// `failure` is std::errc::invalid_argument for an argument out of range.
  [[nodiscard]] BudgetDecision try_consume(std::span<const Charge> charges, const CallOptions& options = {}) noexcept;
  [[nodiscard]] BudgetDecision try_consume(std::initializer_list<Charge> charges,
                                           const CallOptions& options = {}) noexcept {
    return try_consume(span_of(charges), options);
  }

  /// As try_consume for each of many requests, in one round trip per 64 requests: for event loops and batch jobs.
  /// Returns one decision per request, in order. The decisions are independent: a request that is refused, or whose
  /// arguments are out of range, changes nothing for others. CallOptions::deadline applies to the whole call. Throws
  /// std::invalid_argument when an operation_id is given, and std::bad_alloc before anything is sent.
  [[nodiscard]] std::vector<BudgetDecision> consume_all(std::span<const BudgetRequest> requests,
                                                        const CallOptions& options = {});

  /// Whether the costs would fit now, and the state of each limit before them. Charges nothing.
  [[nodiscard]] BudgetDecision peek(std::span<const Charge> charges, const CallOptions& options = {});
  [[nodiscard]] BudgetDecision peek(std::initializer_list<Charge> charges, const CallOptions& options = {}) {
    return peek(span_of(charges), options);
  }

  /// Charges estimates now; settle the reservation when the real costs are known. A refusal is a BudgetReservation that
  /// holds nothing.
  [[nodiscard]] BudgetReservation reserve(std::span<const Charge> charges, const CallOptions& options = {});
  [[nodiscard]] BudgetReservation reserve(std::initializer_list<Charge> charges, const CallOptions& options = {}) {
    return reserve(span_of(charges), options);
  }

  /// The reservation that BudgetReservation::token() described, in this process or another. Nothing is sent. Throws
  /// std::invalid_argument when the token is damaged, forged, of another key_prefix or token_secret, or names a limit
  /// that this limiter does not have.
  [[nodiscard]] BudgetReservation adopt(std::string_view token);

  /// Charges after the fact, also past the limits; costs of 0 have no effect. Throws tollgate::Error under every
  /// on_failure, so that the caller can record the costs again.
  void record(std::span<const Charge> charges, const CallOptions& options = {});
  void record(std::initializer_list<Charge> charges, const CallOptions& options = {}) {
    record(span_of(charges), options);
  }

  /// The cost of these tokens in `limit`, by its weights; rounded up. Throws std::invalid_argument when no limit has
  /// the name, and when a number of tokens is not 0 … 2^53-1. No I/O.
  [[nodiscard]] std::int64_t cost_of(std::string_view limit, const TokenUsage& usage) const;

  /// Deletes what `subject` has spent of `limit`: one key, one round trip. An override in Redis stays. Throws
  /// tollgate::Error under every on_failure.
  void reset(std::string_view limit, std::string_view subject, const CallOptions& options = {});

  /// For readiness probes: as RedisRateLimiter::ping.
  void ping(const CallOptions& options = {});

  /// For shutdown: as RedisRateLimiter::drain.
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

  /// Counters of this limiter, its reservations and its client. Amounts are sums of costs, whatever their limits count.
  [[nodiscard]] Stats stats() const;

  /// Posts of this limiter and its reservations that were not delivered, since it was made.
  [[nodiscard]] Undelivered undelivered() const noexcept;

  /// The name of `subject` in events (Event::subject_hash): 16 hex digits of its HMAC-SHA-256 under
  /// BudgetConfig::token_secret; empty without a secret.
  [[nodiscard]] std::string subject_hash(std::string_view subject) const;

 private:
  [[nodiscard]] static std::span<const Charge> span_of(std::initializer_list<Charge> charges) noexcept {
    return {charges.begin(), charges.size()};
  }

  std::shared_ptr<BlockingBudget> limiter_;
};

}  // namespace tollgate::inline v0
