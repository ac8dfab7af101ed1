/// Whether Redis is set up for a limiter: counts and reports failures with is_misconfiguration(), and answers ping().
/// Thread safety: all of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "decisions/asked.hpp"
#include "doors/limiter_counters.hpp"
#include "doors/limiter_events.hpp"
#include "doors/script_rights.hpp"
#include "tollgate/call_options.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

class Readiness {
 public:
  /// `probe`: a script, which is run without a key to find out whether scripts are run.
  Readiness(const Script& probe, std::shared_ptr<const Clock> clock, std::shared_ptr<LimiterCounters> counters,
            std::shared_ptr<LimiterEvents> events, std::shared_ptr<ScriptRights> rights)
      : probe_(probe),
        clock_(std::move(clock)),
        counters_(std::move(counters)),
        events_(std::move(events)),
        rights_(std::move(rights)) {}

  /// Notes that Redis gave no usable reply to a request. `asked`: kNothing for a charge past the limit, which no
  /// FailurePolicy decides.
  void failed(decisions::Asked asked, LimiterEvents::Period period, const Failure& failure) noexcept;

  /// Sends a PING, and the probe where scripts were refused. Then checks the configuration: it fails when scripts are
  /// refused, or when a call in this minute failed with is_misconfiguration().
  [[nodiscard]] Failure ping(RedisClient& client, const CallOptions& options);

 private:
  [[nodiscard]] std::int64_t current_minute() const noexcept;

  const Script& probe_;
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<LimiterCounters> counters_;
  const std::shared_ptr<LimiterEvents> events_;
  const std::shared_ptr<ScriptRights> rights_;
  std::atomic<int> fault_{0};                  // the latest is_misconfiguration() Errc; 0 = none
  std::atomic<std::int64_t> fault_minute_{0};  // the Unix minute of that error
};

}  // namespace tollgate::inline v0
