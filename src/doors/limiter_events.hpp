/// Decides which changes a limiter reports to its Observer, and when. Events are queued, because the caller may hold
/// locks of the client; the limiter delivers them at the end of each public function. Events after the limiter's end
/// are delivered at once. Without an observer nothing is queued. Thread safety: all of it, in a forked child too.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "decisions/asked.hpp"
#include "decisions/window.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"
#include "values/event_queue.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

class LimiterEvents {
 public:
  /// A full or read-only Redis still answers reads, so these do not end a fallback that failed charges began.
  using Asked = decisions::Asked;

  /// The number of a period in which Redis decides, or the FailurePolicy does.
  using Period = std::uint64_t;

  /// The shortest fallback, so that calls that fail and succeed in turn do not cause an event each.
  static constexpr std::chrono::seconds kShortestFallback{1};

  /// `observer` may be null.
  LimiterEvents(std::shared_ptr<Observer> observer, std::shared_ptr<const Clock> clock, std::string subject)
      : subject_(std::move(subject)),
        clock_(std::move(clock)),
        observed_(observer != nullptr),
        state_([observer = std::move(observer)](State*) { return std::make_unique<State>(observer); }) {}

  /// Read it before a request is sent: the result of a call that was in flight when the period changed is ignored.
  [[nodiscard]] Period period() const noexcept { return period_.load(std::memory_order_relaxed); }

  /// Notes that Redis answered a request that was sent in `period`.
  void answered(Asked asked, Period period) noexcept {
    if (period % kPhases != kRedisDecides) leave_fallback(asked, period);
  }
  /// Notes that Redis gave no reply, or an error reply, so that the FailurePolicy decided.
  void failed(Asked asked, Period period, const Failure& failure) noexcept {
    if (observed_) enter_fallback(asked, period, failure);
  }

  /// Notes a failure with is_misconfiguration(); reported the first time in each window.
  void misconfigured(const Failure& failure) noexcept;

  /// Reported the first time in each window.
  void reservation_dropped(std::int64_t tokens, detail::WindowId window) noexcept;

  /// Reported each time.
  void report(EventKind kind, std::int64_t tokens, const Failure& failure) noexcept;
  /// Likewise; sets the event's subject.
  void report(Event event) noexcept;

  /// Whether there is an observer.
  [[nodiscard]] bool observed() const noexcept { return observed_; }

  /// Must be called while no lock is held.
  void deliver() noexcept;

  /// The limiter ends: from now on report() delivers its events itself.
  void limiter_ends() noexcept {
    ended_.store(true, std::memory_order_relaxed);
    deliver();
  }

 private:
  enum Phase : Period {
    kRedisDecides,
    kPeeksFail,
    kChargesFail,
    kPhases = 4
  };  // the number of a period, modulo kPhases

  struct State {
    explicit State(std::shared_ptr<Observer> observer) : queue(std::move(observer)) {}
    std::mutex mutex;  // guards a change of period together with its event, so that events are in the order of periods
    detail::EventQueue queue;
  };

  /// True for the first call in each window.
  [[nodiscard]] static bool is_first_in(std::atomic<std::int64_t>& last, detail::WindowId window) noexcept {
    return last.exchange(window.number, std::memory_order_relaxed) != window.number;
  }

  void enter_fallback(Asked asked, Period period, const Failure& failure) noexcept;
  void leave_fallback(Asked asked, Period period) noexcept;
  void change_period(Period from, Period to, EventKind kind, const Failure& failure) noexcept;

  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();

  const std::string subject_;
  const std::shared_ptr<const Clock> clock_;
  const bool observed_;
  detail::ForkLocal<State> state_;
  std::atomic<Period> period_{kRedisDecides};
  std::atomic<std::chrono::steady_clock::time_point> entered_at_{};  // the start of the last fallback
  std::atomic<std::int64_t> drop_reported_in_{kNever};               // a window
  std::atomic<std::int64_t> misconfiguration_reported_in_{kNever};   // a window
  std::atomic<bool> ended_{false};
};

}  // namespace tollgate::inline v0
