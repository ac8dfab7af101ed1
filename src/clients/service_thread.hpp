/// A thread that does a client's background work while there is some: it delivers what was posted when no call follows,
/// and posts that are due later. Started at the first request; between pieces of work it sleeps, so that a client
/// without work costs nothing.
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

  /// Does what there is to do, without blocking, and returns when it wants to be called again; nothing = not before the
  /// next request.
  using Work = std::function<std::optional<Time>()>;

  explicit ServiceThread(Work work) : work_(std::move(work)) {}
  ~ServiceThread() { stop(); }
  ServiceThread(const ServiceThread&) = delete;
  ServiceThread& operator=(const ServiceThread&) = delete;

  /// There is work. One load while the thread is at it; wakes or starts it otherwise. Where no thread can be started,
  /// the next request tries again.
  void request() noexcept {
    if (state_.load(std::memory_order_acquire) != State::kWorking) wake();
  }

  /// Waits until the work under way has returned; there is none afterwards.
  void stop() noexcept;

 private:
  enum class State : std::uint8_t { kIdle, kWorking, kEnded };

  // How long the thread goes on looking after its last work, so that work which comes now and then wakes it rarely.
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
