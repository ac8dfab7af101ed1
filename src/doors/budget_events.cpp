#include "doors/budget_events.hpp"

#include <chrono>
#include <functional>

#include "doors/digests.hpp"

namespace tollgate::inline v0 {

using std::chrono::milliseconds;

std::string BudgetEvents::subject_hash(std::string_view subject) const {
  constexpr std::size_t kBytes = 8;
  return token_secret_.empty() ? std::string{} : to_hex(first_bytes(hmac_sha256(token_secret_, subject), kBytes));
}

bool BudgetEvents::is_first(EventKind kind, std::string_view limit, std::string_view subject, Time now, Time end) {
  constexpr std::size_t kFactor = 0x9E3779B97F4A7C15;  // of Fibonacci hashing
  std::size_t hash = std::hash<std::string_view>{}(subject);
  hash = hash * kFactor + std::hash<std::string_view>{}(limit);
  hash = hash * kFactor + static_cast<std::size_t>(kind);
  return seen_.with(hash, [&](decisions::OncePerWindow& seen) { return seen.is_first(hash, now, end); });
}

void BudgetEvents::report_once(EventKind kind, const Limit& limit, const decisions::BudgetItem& item,
                               std::int64_t tokens, Time now) {
  const Time end = now + milliseconds{item.state.reset_after};
  if (!is_first(kind, limit.name, item.subject, now, end)) return;
  events_->report({.kind = kind, .tokens = tokens, .limit = limit.name, .subject_hash = subject_hash(item.subject)});
}

void BudgetEvents::answered(const Limit& limit, const decisions::BudgetItem& item, bool charged,
                            Time asked_at) noexcept {
  if (!events_->observed()) return;
  try {
    const decisions::ItemState& state = item.state;
    if (state.override_is_damaged) override_ignored(limit, asked_at);
    if (state.would_refuse) report_once(EventKind::kShadowRefused, limit, item, item.cost, asked_at);
    if (charged && decisions::passes_threshold(limit, item)) {
      report_once(EventKind::kThresholdPassed, limit, item, state.max - state.remaining, asked_at);
    }
  } catch (...) {  // no memory to report it
  }
}

void BudgetEvents::override_ignored(const Limit& limit, Time now) noexcept {
  if (!events_->observed()) return;
  try {
    if (!is_first(EventKind::kOverrideIgnored, limit.name, {}, now, now + std::chrono::minutes{1})) return;
    events_->report({.kind = EventKind::kOverrideIgnored, .limit = limit.name});
  } catch (...) {  // no memory to report it
  }
}

}  // namespace tollgate::inline v0
