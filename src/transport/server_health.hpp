/// The health of the server by the outcomes of calls: which of them count as failures, the circuit breaker, and the
/// failure of calls while it is open.
/// Thread safety: the driver's lock guards it, except for is_open().
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <random>

#include "tollgate/error.hpp"
#include "tollgate/values/reply.hpp"
#include "transport/circuit_breaker.hpp"

namespace tollgate::inline v0 {

class ServerHealth {
 public:
  using Time = CircuitBreaker::Time;
  using Permission = CircuitBreaker::Permission;
  using Change = CircuitBreaker::Change;

  ServerHealth(std::chrono::milliseconds command_timeout, unsigned seed)
      : command_timeout_(command_timeout), random_(seed) {}

  /// May be called from any thread, without the lock.
  [[nodiscard]] bool is_open() const noexcept { return is_open_.load(std::memory_order_relaxed); }

  // As CircuitBreaker's.
  [[nodiscard]] Permission ask(Time now) noexcept { return breaker_.ask(now); }
  [[nodiscard]] bool may_connect(Time now) const noexcept { return breaker_.may_connect(now); }
  void end_probe() noexcept { breaker_.end_probe(); }
  Change succeed() noexcept;
  Change fail(Time now, const Failure& failure) noexcept;
  Change open(Time now, const Failure& failure) noexcept;

  /// The failure of a call while the circuit is open: the one that opened it, and that no attempt was made.
  [[nodiscard]] Failure refusal() const noexcept;

  /// Whether a call that began at `since` and timed out at `now` counts as a failure: when the server had the command
  /// timeout to answer it, or has been silent for as long. The timeout of a call with a shorter deadline does not
  /// count.
  [[nodiscard]] bool counts_as_failure(Time now, Time since, Time silent_since) const noexcept {
    return now - since >= command_timeout_ || now - silent_since >= command_timeout_;
  }

  /// The first error reply that means that the server can serve no client now. Other errors concern the request
  /// (WRONGTYPE, NOPERM), or come without delay from a server that still answers reads (OOM).
  [[nodiscard]] static std::optional<Failure> inability_in(const Replies& replies) noexcept;

 private:
  Change changed(Change change, const Failure& failure) noexcept;
  [[nodiscard]] double random() noexcept { return std::uniform_real_distribution<double>{0.0, 1.0}(random_); }

  const std::chrono::milliseconds command_timeout_;
  CircuitBreaker breaker_;
  std::atomic<bool> is_open_{false};
  Failure cause_;  // the failure that last opened the circuit
  std::minstd_rand random_;
};

}  // namespace tollgate::inline v0
