/// Queues events, which occur while locks are held, and delivers them to the Observer while none is held: in order, one
/// at a time.
/// Thread safety: both functions may be called from all threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tollgate/observer.hpp"

namespace tollgate::inline v0::detail {

class EventQueue {
 public:
  /// The most events that are queued while an observer blocks; further ones are dropped.
  static constexpr std::size_t kMostWaiting = 1024;

  /// Null: events are dropped.
  explicit EventQueue(std::shared_ptr<Observer> observer) : observer_(std::move(observer)) {}

  /// May be called under any lock.
  void add(Event event) {
    if (!observer_) return;
    const std::lock_guard lock{mutex_};
    if (events_.size() >= kMostWaiting) return;
    events_.push_back(std::move(event));
    waiting_.store(true, std::memory_order_release);
  }

  /// Must be called while no lock is held. Costs one load when no event is queued. When another thread, or this one
  /// further up the stack, is delivering events, this call returns and that one delivers the rest.
  void deliver() noexcept {
    if (!waiting_.load(std::memory_order_acquire)) return;
    std::unique_lock lock{mutex_};
    if (delivering_) return;
    delivering_ = true;
    while (!events_.empty()) {
      const std::vector<Event> events = std::exchange(events_, {});
      lock.unlock();
      for (const Event& event : events) observer_->on_event(event);
      lock.lock();
    }
    delivering_ = false;
    waiting_.store(false, std::memory_order_relaxed);
  }

 private:
  const std::shared_ptr<Observer> observer_;
  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  std::vector<Event> events_;
  bool delivering_ = false;
};

}  // namespace tollgate::inline v0::detail
