/// What a limiter tells its Observer: when a change is one, and when it is told. Nothing is told from within a client,
/// whose callers may hold roles there: the limiter delivers at the end of each of its public paths. Only what happens
/// after its end is told at once. Without an observer nothing is kept.
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

#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"
#include "values/event_queue.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

class LimiterEvents {
 public:
  /// What Redis was asked for. A full or read-only Redis still answers looks: they do not end what failed charges
  /// began.
  enum class Question : std::uint8_t { kLook, kCharge };

  /// A stretch of time in which Redis decided, or the FailurePolicy did.
  using Era = std::uint64_t;

  /// A fallback lasts as long at least, so that calls which fail and succeed in turn are no events each.
  static constexpr std::chrono::seconds kShortestFallback{1};

  /// `observer` may be null.
  LimiterEvents(std::shared_ptr<Observer> observer, std::shared_ptr<const Clock> clock, std::string subject)
      : subject_(std::move(subject)),
        clock_(std::move(clock)),
        watched_(observer != nullptr),
        told_([observer = std::move(observer)](Told*) { return std::make_unique<Told>(observer); }) {}

  /// To be taken before Redis is asked: an answer, or a failure, that was under way when the era changed is old news.
  [[nodiscard]] Era era() const noexcept { return era_.load(std::memory_order_relaxed); }

  /// Redis has answered, or could not be asked.
  void asked(Question question, Era asked_in, const Failure& failure) noexcept {
    if (failure.code) {
      enter_fallback(question, asked_in, failure);
    } else if (asked_in % kPhases != kRedisDecides) {
      leave_fallback(question, asked_in);
    }
  }

  /// Told the first time in each minute.
  void reservation_dropped(std::int64_t tokens, std::int64_t minute) noexcept;

  /// Whatever was told before.
  void tell(EventKind kind, std::int64_t tokens, const Failure& failure) noexcept;

  /// Must be called while no lock is held.
  void deliver() noexcept {
    if (watched_) told_.get().queue.deliver();
  }

  /// The limiter ends: nobody can call it any more, and nobody else delivers.
  void limiter_ends() noexcept {
    orphaned_.store(true, std::memory_order_relaxed);
    deliver();
  }

 private:
  enum Phase : Era { kRedisDecides, kLooksFail, kChargesFail, kPhases = 4 };  // the number of an era, modulo kPhases

  struct Told {
    explicit Told(std::shared_ptr<Observer> observer) : queue(std::move(observer)) {}
    std::mutex mutex;  // over a change of era and its event, so that these come in the order of those
    detail::EventQueue queue;
  };

  void enter_fallback(Question question, Era asked_in, const Failure& failure) noexcept;
  void leave_fallback(Question question, Era asked_in) noexcept;
  void change_era(Era from, Era to, EventKind kind, const Failure& failure) noexcept;

  const std::string subject_;
  const std::shared_ptr<const Clock> clock_;
  const bool watched_;
  detail::ForkLocal<Told> told_;
  std::atomic<Era> era_{kRedisDecides};
  std::atomic<std::chrono::steady_clock::time_point> entered_at_{};                   // the last fallback
  std::atomic<std::int64_t> drop_told_in_{std::numeric_limits<std::int64_t>::min()};  // a minute
  std::atomic<bool> orphaned_{false};
};

}  // namespace tollgate::inline v0
