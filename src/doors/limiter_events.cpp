#include "doors/limiter_events.hpp"

namespace tollgate::inline v0 {
namespace {

/// Whether the error concerns a single counter (not a counter, or an overflow), so that others can still be charged.
bool is_about_one_counter(const Failure& failure) {
  return failure.code == Errc::kWrongType || failure.code == Errc::kOverflow;
}

}  // namespace

void LimiterEvents::misconfigured(const Failure& failure) noexcept {
  if (!observed_ || !is_first_in(misconfiguration_reported_in_, decisions::window_at(clock_->now()))) return;
  report(EventKind::kMisconfigured, 0, failure);
}

void LimiterEvents::enter_fallback(Asked asked, Period period, const Failure& failure) noexcept {
  if (period % kPhases != kRedisDecides || is_about_one_counter(failure)) return;
  entered_at_.store(clock_->steady_now(), std::memory_order_relaxed);
  const Phase phase = asked == Asked::kPeek ? kPeeksFail : kChargesFail;
  change_period(period, period + phase, EventKind::kFallbackEntered, failure);
}

void LimiterEvents::leave_fallback(Asked asked, Period period) noexcept {
  const Period phase = period % kPhases;
  if (phase == kChargesFail && asked == Asked::kPeek) return;
  if (clock_->steady_now() - entered_at_.load(std::memory_order_relaxed) < kShortestFallback) return;
  change_period(period, period - phase + kPhases, EventKind::kFallbackLeft, {});
}

void LimiterEvents::change_period(Period from, Period to, EventKind kind, const Failure& failure) noexcept {
  try {
    State& state = state_.get();
    const std::lock_guard lock{state.mutex};
    if (period_.compare_exchange_strong(from, to, std::memory_order_relaxed)) report(kind, 0, failure);
  } catch (...) {  // no memory to report it
  }
}

void LimiterEvents::reservation_dropped(std::int64_t tokens, detail::WindowId window) noexcept {
  if (is_first_in(drop_reported_in_, window)) report(EventKind::kReservationDropped, tokens, {});
}

void LimiterEvents::report(EventKind kind, std::int64_t tokens, const Failure& failure) noexcept {
  if (!observed_) return;
  try {
    report(Event{.kind = kind, .failure = failure, .tokens = tokens});
  } catch (...) {  // no memory to report it
  }
}

void LimiterEvents::report(Event event) noexcept {
  if (!observed_) return;
  try {
    event.subject = subject_;
    state_.get().queue.add(std::move(event));
    if (ended_.load(std::memory_order_relaxed)) deliver();
  } catch (...) {  // no memory to report it
  }
}

void LimiterEvents::deliver() noexcept {
  if (!observed_) return;
  try {
    state_.get().queue.deliver();
  } catch (...) {  // no memory for a forked child's own queue: its events stay queued
  }
}

}  // namespace tollgate::inline v0
