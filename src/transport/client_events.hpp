/// Events and counters of one client, shared by its connections. Only the primary connection's changes are reported.
/// Thread safety: all of it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "tollgate/observer.hpp"
#include "tollgate/stats.hpp"
#include "values/counters.hpp"
#include "values/event_queue.hpp"

namespace tollgate::inline v0 {

class ClientEvents {
 public:
  enum Counter : std::size_t { kFailedAtOnce, kPosted, kConnects, kDisconnects, kCircuitOpened, kCounters };

  /// `subject`: the server's URL without password. `observer` may be null.
  ClientEvents(std::string subject, std::shared_ptr<Observer> observer)
      : subject_(std::move(subject)), queue_(std::move(observer)) {}

  [[nodiscard]] const std::string& subject() const noexcept { return subject_; }

  void count(Counter counter) noexcept { counters_.add(counter); }

  /// Queues an event; may be called while locks are held. When memory is short, the event is dropped.
  void report(EventKind kind, const Failure& failure = {}) noexcept {
    try {
      queue_.add({.kind = kind, .subject = subject_, .failure = failure});
    } catch (const std::bad_alloc&) {  // the counters include it
    }
  }

  /// Delivers queued events to the observer; must be called while no lock is held.
  void deliver() noexcept { queue_.deliver(); }

  /// All counters except latencies and failures of calls.
  [[nodiscard]] ClientStats stats() const noexcept {
    ClientStats stats;
    stats.failed_at_once = counters_.read(kFailedAtOnce);
    stats.posted = counters_.read(kPosted);
    stats.connects = counters_.read(kConnects);
    stats.disconnects = counters_.read(kDisconnects);
    stats.circuit_opened = counters_.read(kCircuitOpened);
    return stats;
  }

 private:
  const std::string subject_;
  detail::EventQueue queue_;
  detail::Counters<kCounters> counters_;
};

}  // namespace tollgate::inline v0
