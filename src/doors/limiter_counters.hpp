/// The counters of a limiter. A decision is counted when it is returned, an error when it is thrown, and undelivered
/// tokens when their post fails. Outlives its limiter while posts are in flight.
/// Thread safety: all of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tollgate/decision.hpp"
#include "tollgate/stats.hpp"
#include "values/counters.hpp"

namespace tollgate::inline v0 {

class LimiterCounters {
 public:
  /// One relaxed add, because a remembered denial takes only some nanoseconds.
  void count(bool allowed, Source source) noexcept {
    counters_.add((allowed ? kAllowed : kDenied) + static_cast<std::size_t>(source));
  }
  void count(const Decision& decision) noexcept { count(decision.allowed, decision.source); }
  void count_failed() noexcept { counters_.add(kFailed); }
  void count_misconfigured() noexcept { counters_.add(kMisconfigured); }
  void count_dropped() noexcept { counters_.add(kDropped); }
  void count_in_doubt(std::int64_t tokens) noexcept {
    counters_.add(kInDoubt);
    counters_.add(kInDoubtTokens, static_cast<std::uint64_t>(tokens));
  }
  void count_undelivered(std::int64_t tokens) noexcept {
    counters_.add(kUndelivered);
    counters_.add(kUndeliveredTokens, static_cast<std::uint64_t>(tokens));
  }

  [[nodiscard]] Undelivered undelivered() const noexcept {
    return {counters_.read(kUndelivered), counters_.read(kUndeliveredTokens)};
  }

  /// All counters except those of the client.
  [[nodiscard]] Stats read() const noexcept {
    Stats stats;
    stats.allowed = decisions(kAllowed);
    stats.denied = decisions(kDenied);
    stats.failed = counters_.read(kFailed);
    stats.in_doubt = counters_.read(kInDoubt);
    stats.in_doubt_tokens = counters_.read(kInDoubtTokens);
    stats.undelivered = undelivered();
    stats.reservations_dropped = counters_.read(kDropped);
    stats.misconfigured = counters_.read(kMisconfigured);
    return stats;
  }

 private:
  enum Counter : std::size_t {
    kAllowed,                // one for each Source, in the order of that
    kDenied = kAllowed + 3,  // likewise
    kFailed = kDenied + 3,
    kInDoubt,
    kInDoubtTokens,
    kUndelivered,
    kUndeliveredTokens,
    kDropped,
    kMisconfigured,
    kCounters,
  };
  static_assert(static_cast<int>(Source::kRedis) == 0 && static_cast<int>(Source::kLocal) == 1 &&
                static_cast<int>(Source::kFallback) == 2);

  [[nodiscard]] DecisionCounts decisions(std::size_t first) const noexcept {
    return {counters_.read(first), counters_.read(first + 1), counters_.read(first + 2)};
  }

  detail::Counters<kCounters> counters_;
};

}  // namespace tollgate::inline v0
