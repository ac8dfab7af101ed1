/// Which changes a limiter reports to its Observer, and when. Events are queued where they happen, never reported from
/// within a client, whose locks the caller may hold: the limiter delivers them at the end of each public function. Only
/// what happens after the limiter's end is delivered at once. Without an observer nothing is kept.
/// Thread safety: all of it, in a forked child too.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "decisions/decision_flow.hpp"
#include "decisions/window.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"
#include "values/event_queue.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

class LimiterEvents {
 public:
  /// A full or read-only Redis still answers looks: they do not end a fallback that failed charges began.
  using Asked = decisions::Effects::Asked;

  /// The number of a stretch of time in which Redis decided, or the FailurePolicy did.
  using Period = std::uint64_t;

  /// A fallback lasts as long at least, so that calls which fail and succeed in turn are not an event each.
  static constexpr std::chrono::seconds kShortestFallback{1};

  /// `observer` may be null.
  LimiterEvents(std::shared_ptr<Observer> observer, std::shared_ptr<const Clock> clock, std::string subject)
      : subject_(std::move(subject)),
        clock_(std::move(clock)),
        observed_(observer != nullptr),
        state_([observer = std::move(observer)](State*) { return std::make_unique<State>(observer); }) {}

  /// To be read before Redis is asked: the result of a call that was under way when the period changed is ignored.
  [[nodiscard]] Period period() const noexcept { return period_.load(std::memory_order_relaxed); }

  /// Redis has answered what was asked in `period`.
  void answered(Asked asked, Period period) noexcept {
    if (period % kPhases != kRedisDecides) leave_fallback(asked, period);
  }
  /// It could not be asked, or answered with an error.
  void failed(Asked asked, Period period, const Failure& failure) noexcept;

  /// Reported the first time in each window.
  void reservation_dropped(std::int64_t tokens, detail::WindowId window) noexcept;

  /// Redis refuses to run scripts: reported once.
  void scripts_refused(const Failure& refusal) noexcept;
  /// It runs them: the next refusal is reported again.
  void scripts_run() noexcept {
    if (scripts_refused_.load(std::memory_order_relaxed)) scripts_refused_.store(false, std::memory_order_relaxed);
  }

  /// Reported each time.
  void report(EventKind kind, std::int64_t tokens, const Failure& failure) noexcept;

  /// Must be called while no lock is held.
  void deliver() noexcept;

  /// The limiter ends: nothing calls deliver() any more.
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
    std::mutex mutex;  // over a change of period and its event, so that events come in the order of periods
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
  std::atomic<std::chrono::steady_clock::time_point> entered_at_{};  // the last fallback
  std::atomic<std::int64_t> drop_reported_in_{kNever};               // a window
  std::atomic<std::int64_t> misconfiguration_reported_in_{kNever};   // a window
  std::atomic<bool> scripts_refused_{false};
  std::atomic<bool> ended_{false};
};

}  // namespace tollgate::inline v0
