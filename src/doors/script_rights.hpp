/// Whether the server runs the scripts that a limiter posts. The client finds a missing right when it connects; one
/// that is revoked later is found here, from the replies to posts. A refusal found here holds for kRetryInterval, after
/// which a script is tried again; it ends when a script is answered. Thread safety: all of it.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>

#include "decisions/fixed_window.hpp"
#include "doors/limiter_events.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/error.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

class ScriptRights {
 public:
  static constexpr std::chrono::seconds kRetryInterval{1};

  ScriptRights(std::shared_ptr<const Clock> clock, std::shared_ptr<LimiterEvents> events)
      : clock_(std::move(clock)), events_(std::move(events)) {}

  /// Whether the next post to `client` may be a script.
  [[nodiscard]] decisions::Scripts scripts(const RedisClient& client);

  /// Notes that a script was refused; the first refusal is reported as an event.
  void refused(Failure refusal);

  /// Notes that a script was answered, so that the next refusal is reported again.
  void answered() noexcept {
    if (is_refused_.load(std::memory_order_relaxed)) is_refused_.store(false, std::memory_order_release);
  }

  /// Why scripts are refused; empty when they are not, or unknown.
  [[nodiscard]] Failure refusal() const;

 private:
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<LimiterEvents> events_;
  std::atomic<bool> is_refused_{false};
  std::atomic<std::chrono::steady_clock::time_point> retry_at_{};
  mutable std::mutex mutex_;  // guards refusal_
  Failure refusal_;
};

/// `refusal` with a detail that names the rights to grant, so that scripts run.
[[nodiscard]] Failure explain_script_refusal(Failure refusal);

}  // namespace tollgate::inline v0
