/// A thread for a client's background work: it delivers posts when no call follows them, and posts that are due later.
/// Started at the first request; it sleeps while there is no work.
/// Thread safety: request() may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {

class ServiceThread {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Does the work without blocking, and returns the time of its next call; nothing = at the next request.
  using Work = std::function<std::optional<Time>()>;

  explicit ServiceThread(Work work) : work_(std::move(work)) {}
  ~ServiceThread() { stop(); }
  ServiceThread(const ServiceThread&) = delete;
  ServiceThread& operator=(const ServiceThread&) = delete;

  /// Notes that there is work: wakes or starts the thread; one load while it is working. When no thread can be started,
  /// the next request tries again.
  void request() noexcept {
    if (state_.load(std::memory_order_acquire) != State::kWorking) wake();
  }

  /// Waits until the current call of the work has returned, and ends the thread.
  void stop() noexcept;

 private:
  enum class State : std::uint8_t { kIdle, kWorking, kEnded };

  // How long the thread polls after its last work, so that infrequent work seldom has to wake it.
  static constexpr std::chrono::seconds kLinger{1};
  static constexpr std::chrono::milliseconds kTick{20};

  void wake() noexcept;
  void run() noexcept;

  const Work work_;
  std::atomic<State> state_{State::kIdle};
  WaitWord wake_;
  std::mutex mutex_;  // guards the start of thread_
  std::thread thread_;
};

}  // namespace tollgate::inline v0
