/// The limits and options of a BudgetLimiter, checked once when it is made, and the charges of its requests.
/// Thread safety: plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/token_usage.hpp"
#include "tollgate/window.hpp"

namespace tollgate::inline v0 {

/// The most charges of one request.
inline constexpr std::size_t kMaxCharges = 16;

/// One limit: how much each of its subjects may spend in one window. What a subject is (a key, a team, a model, a
/// constant for everybody) and what is counted (requests, tokens) is up to the charges.
struct Limit {
  /// 1 … 64 bytes of [A-Za-z0-9_.-], unique within the limiter; not `max`. Part of the key in Redis.
  std::string name = {};

  /// The most that the costs of one subject may add up to in one window, 0 … 2^53-1, with Window::concurrent 0 …
  /// Window::kMaxSlots; 0 = everything is refused but a cost of 0. Hosts may differ: each admits up to its own.
  std::int64_t max = 0;

  /// How long a cost counts.
  Window window = Window::fixed(std::chrono::minutes{1});

  /// True: the limit counts, and LimitState::would_refuse tells, but it refuses no request. Its counter may exceed max.
  bool shadow = false;

  /// EventKind::kThresholdPassed is reported once per subject and window when a charge brings what was spent from below
  /// this share of max to it or above; percent, 1 … 100, by default 80; 0 = never.
  int warn_at_percent = 80;

  /// What a token of each kind costs in this limit, see BudgetLimiter::cost_of; by default 1 each.
  TokenWeights weights = {};

  /// Under FailurePolicy::kLocalShare: what this process grants by itself to each subject and window, 0 … max; nothing
  /// = a tenth of max, rounded up. See BudgetConfig::on_failure.
  std::optional<std::int64_t> local_share = std::nullopt;
};

/// One cost of a request. The texts must stay valid during the call.
struct Charge {
  std::string_view limit;    ///< the name of a limit of the limiter
  std::string_view subject;  ///< 1 … 512 bytes of any kind
  std::int64_t cost = 1;     ///< 0 … 2^53-1, also after costs of the same limit and subject in a request are added up
};

/// The charges of one request of BudgetLimiter::consume_all.
struct BudgetRequest {
  std::vector<Charge> charges;
};

struct BudgetConfig {
  /// 1 … 64 limits with names of their own.
  std::vector<Limit> limits = {};

  /// First part of every key, 0 … 512 bytes without braces. Limiters with the same prefix share the budgets of limits
  /// with the same name, which must then have the same window: see Window.
  std::string key_prefix = "tollgate";

  /// Who decides when Redis gives no usable reply. kLocalShare grants a request when every charge fits into this
  /// process's share of its limit (Limit::local_share), less what Redis granted this process in the same window; shadow
  /// limits do not refuse. Granted costs are charged, past the limit if need be, as soon as Redis is reachable again.
  /// So all processes together exceed a limit by at most their number × the share per window; the share's windows are
  /// fixed ones of the limit's length on this host's clock, so that in any interval of that length (sliding, token
  /// bucket) two shares may fall. A share takes 256 KB per limit.
  FailurePolicy on_failure = FailurePolicy::kThrow;

  /// How long this process remembers that a charge was refused, and refuses requests with one as large on the same
  /// limit and subject without a round trip. It ends earlier when the charge fits again, by the window; what other
  /// processes give back becomes visible after this time; a raised max of `override_max` at once. 0 … 60'000 ms, by
  /// default 1000; 0 = off. Not used with `overrides_in_redis`, because a limit raised there must help at once.
  std::chrono::milliseconds deny_memory{1000};

  /// The source of time for deny memory and local share, and for the store of `memory://`; null = system_clock().
  /// Which window a charge counts in is decided by the Redis server's clock alone.
  std::shared_ptr<const Clock> clock = nullptr;

  /// Receives this limiter's events; null = no events. A limiter made from a URL passes it to its client too.
  std::shared_ptr<Observer> observer = nullptr;

  /// The key with which BudgetReservation::token() is authenticated, 0 or 16 … 512 bytes, the same on every host.
  /// Empty: tokens are protected against damage only, not against forgery. It is also the key of Event::subject_hash,
  /// which is empty without it. Appears in no message.
  std::string token_secret = {};

  /// The max of one subject in place of Limit::max, 0 … 2^53-1; nothing = Limit::max. Called for each charge of each
  /// call, on the calling thread and on many at once, while no lock is held; so it should only look up. A value out of
  /// range, or an exception, counts as nothing and is reported (EventKind::kOverrideIgnored). Empty
  /// function (the default) = no overrides by the process.
  std::function<std::optional<std::int64_t>(std::string_view limit, std::string_view subject)> override_max = nullptr;

  /// True: the hash `<key_prefix>:{<subject>}:max` in Redis may hold a max for each limit, which replaces Limit::max
  /// and that of override_max. It is read within the charge's script, so a change binds the next call of every process:
  ///
  ///     HSET tollgate:{team_7}:max tokens-per-day 5000000        HDEL … returns to the configured max
  ///
  /// What is no decimal 0 … 2^53-1 is ignored and reported (EventKind::kOverrideIgnored). Every process must set the
  /// same.
  bool overrides_in_redis = false;
};

}  // namespace tollgate::inline v0
