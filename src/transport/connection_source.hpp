/// The seam between the connections of a client and the choice of their server: without a ConnectionSource they go to a
/// fixed endpoint; SentinelConnections finds the primary that sentinels name.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "tollgate/error.hpp"
#include "transport/connect_attempt.hpp"
#include "transport/connection.hpp"
#include "transport/login_renewal.hpp"

namespace tollgate::inline v0 {

/// A connection that is being made, with blocking waits that end at the caller's deadline; the next caller resumes it.
/// Thread safety: one thread at a time.
class PendingConnection {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Progress : std::uint8_t { kPending, kConnected, kFailed };

  PendingConnection() = default;
  PendingConnection(const PendingConnection&) = delete;
  PendingConnection& operator=(const PendingConnection&) = delete;
  virtual ~PendingConnection() = default;

  /// Continues until there is an outcome, at most until `until`; then returns kPending. Throws std::bad_alloc; then the
  /// object must be discarded.
  [[nodiscard]] virtual Progress advance(Time until) = 0;

  [[nodiscard]] virtual std::shared_ptr<Connection> take_connection() noexcept = 0;  ///< after kConnected
  /// When the credentials that were sent are to be renewed; after kConnected.
  [[nodiscard]] virtual const LoginRenewal& login() const noexcept = 0;
  [[nodiscard]] virtual const Failure& failure() const noexcept = 0;  ///< after kFailed
};

/// Begins attempts to connect to the server of its choice. Thread safety: all of it.
class ConnectionSource {
 public:
  ConnectionSource() = default;
  ConnectionSource(const ConnectionSource&) = delete;
  ConnectionSource& operator=(const ConnectionSource&) = delete;
  virtual ~ConnectionSource() = default;

  /// The attempt must not outlive the source. No I/O. Throws std::bad_alloc.
  [[nodiscard]] virtual std::unique_ptr<PendingConnection> begin(Handshake handshake, PendingConnection::Time now) = 0;
};

}  // namespace tollgate::inline v0
