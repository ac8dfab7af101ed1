#include "doors/limiter_events.hpp"

namespace tollgate::inline v0 {
namespace {

/// Redis is there, and one counter is no counter or full: no news about the others.
bool is_about_one_counter(const Failure& failure) {
  return failure.code == Errc::kWrongType || failure.code == Errc::kOverflow;
}

}  // namespace

void LimiterEvents::enter_fallback(Question question, Era asked_in, const Failure& failure) noexcept {
  if (!watched_ || asked_in % kPhases != kRedisDecides || is_about_one_counter(failure)) return;
  entered_at_.store(clock_->steady_now(), std::memory_order_relaxed);
  const Phase phase = question == Question::kLook ? kLooksFail : kChargesFail;
  change_era(asked_in, asked_in + phase, EventKind::kFallbackEntered, failure);
}

void LimiterEvents::leave_fallback(Question question, Era asked_in) noexcept {
  const Era phase = asked_in % kPhases;
  if (phase == kChargesFail && question == Question::kLook) return;
  if (clock_->steady_now() - entered_at_.load(std::memory_order_relaxed) < kShortestFallback) return;
  change_era(asked_in, asked_in - phase + kPhases, EventKind::kFallbackLeft, {});
}

void LimiterEvents::change_era(Era from, Era to, EventKind kind, const Failure& failure) noexcept {
  try {
    Told& told = told_.get();
    const std::lock_guard lock{told.mutex};
    if (era_.compare_exchange_strong(from, to, std::memory_order_relaxed)) tell(kind, 0, failure);
  } catch (...) {  // no memory to tell it
  }
}

void LimiterEvents::reservation_dropped(std::int64_t tokens, std::int64_t minute) noexcept {
  if (drop_told_in_.exchange(minute, std::memory_order_relaxed) != minute) {
    tell(EventKind::kReservationDropped, tokens, {});
  }
}

void LimiterEvents::tell(EventKind kind, std::int64_t tokens, const Failure& failure) noexcept {
  if (!watched_) return;
  try {
    told_.get().queue.add({.kind = kind, .subject = subject_, .failure = failure, .tokens = tokens});
    if (orphaned_.load(std::memory_order_relaxed)) deliver();
  } catch (...) {  // no memory to tell it
  }
}

}  // namespace tollgate::inline v0
