/// The events that only a BudgetLimiter reports: thresholds, refusals in shadow mode, overrides that are ignored.
/// Thread safety: all of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "decisions/budget_charges.hpp"
#include "decisions/once_per_window.hpp"
#include "doors/limiter_events.hpp"
#include "doors/sharded.hpp"
#include "tollgate/budget_config.hpp"

namespace tollgate::inline v0 {

class BudgetEvents {
 public:
  using Time = decisions::OncePerWindow::Time;

  BudgetEvents(std::shared_ptr<LimiterEvents> events, std::string token_secret)
      : events_(std::move(events)),
        token_secret_(std::move(token_secret)),
        seen_([] { return decisions::OncePerWindow{kPlacesPerShard}; }) {}

  /// Reports what the reply to a charge of `item` says. `asked_at`: when the request was sent. Does nothing when memory
  /// is short.
  void answered(const Limit& limit, const decisions::BudgetItem& item, bool charged, Time asked_at) noexcept;

  void override_ignored(const Limit& limit, Time now) noexcept;

  /// As BudgetLimiter::subject_hash.
  [[nodiscard]] std::string subject_hash(std::string_view subject) const;

 private:
  static constexpr std::size_t kPlacesPerShard = 256;

  void report_once(EventKind kind, const Limit& limit, const decisions::BudgetItem& item, std::int64_t tokens,
                   Time now);
  [[nodiscard]] bool is_first(EventKind kind, std::string_view limit, std::string_view subject, Time now, Time end);

  const std::shared_ptr<LimiterEvents> events_;
  const std::string token_secret_;
  Sharded<decisions::OncePerWindow> seen_;
};

}  // namespace tollgate::inline v0
