#include "clients/service_thread.hpp"

#include <algorithm>
#include <exception>

#include "values/background_thread.hpp"
#include "values/non_blocking_release.hpp"

namespace tollgate::inline v0 {

using SteadyClock = std::chrono::steady_clock;

void ServiceThread::stop() noexcept {
  state_.store(State::kEnded, std::memory_order_release);
  wake_.signal();
  const std::lock_guard lock{mutex_};  // request() may be starting the thread
  if (thread_.joinable()) thread_.join();
}

void ServiceThread::wake() noexcept {
  State idle = State::kIdle;
  if (!state_.compare_exchange_strong(idle, State::kWorking, std::memory_order_acq_rel)) return;
  try {
    const std::lock_guard lock{mutex_};
    if (!thread_.joinable()) {
      thread_ = detail::start_background_thread([this] { run(); });
      return;
    }
  } catch (const std::exception&) {  // no thread can be started now
    State working = State::kWorking;
    state_.compare_exchange_strong(working, State::kIdle, std::memory_order_acq_rel);
    return;
  }
  wake_.signal();
}

void ServiceThread::run() noexcept {
  // A client whose last owner is an observer called here must not end here: its end waits for this thread.
  const detail::NonBlockingRelease ends_elsewhere;
  Time linger_until = SteadyClock::now() + kLinger;
  while (state_.load(std::memory_order_acquire) != State::kEnded) {
    std::optional<Time> next;
    try {
      next = work_();
    } catch (const std::exception&) {  // no memory: tried again
      next = SteadyClock::now() + kTick;
    }
    const Time now = SteadyClock::now();
    if (next) linger_until = now + kLinger;
    if (next || now < linger_until) {
      // New work does not wake it while it is working, so it never sleeps for longer than a tick.
      wake_.wait_until(std::min(next.value_or(now + kTick), now + kTick));
      wake_.reset();
      continue;
    }
    State working = State::kWorking;
    state_.compare_exchange_strong(working, State::kIdle, std::memory_order_acq_rel);
    // A request() that still saw kWorking came before this, so its work is found by the next run.
    try {
      next = work_();
    } catch (const std::exception&) {
      next = now;
    }
    if (next) {
      State idle = State::kIdle;
      state_.compare_exchange_strong(idle, State::kWorking, std::memory_order_acq_rel);
      continue;
    }
    // The exchange orders the reset before the look at the state, so that no signal is erased unseen.
    for (State idle = State::kIdle; state_.compare_exchange_strong(idle, State::kIdle, std::memory_order_acq_rel);) {
      wake_.wait_until(Time::max());
      wake_.reset();
    }
    linger_until = SteadyClock::now() + kLinger;
  }
}

}  // namespace tollgate::inline v0
