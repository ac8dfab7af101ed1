/// One attempt to connect: resolve the name, connect to its addresses in turn, shake hands (AUTH, SELECT). It can be
/// left at any deadline and resumed by another caller.
/// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tollgate/client_options.hpp"
#include "transport/connection.hpp"
#include "transport/open_socket.hpp"
#include "transport/resolution.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

/// What must be answered before a connection carries anything: AUTH and SELECT where they are needed; kAlways: where
/// they are not, a PING, because a server that takes no more clients accepts their connections first.
enum class Handshake : std::uint8_t { kAsNeeded, kAlways };

class ConnectAttempt {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Progress : std::uint8_t { kPending, kConnected, kFailed };

  /// The attempt fails `options.connect_timeout` after `now`, to which the time is added during which nobody drives it.
  ConnectAttempt(const Url& url, const ClientOptions& options, Handshake handshake, Time now);
  ConnectAttempt(const ConnectAttempt&) = delete;
  ConnectAttempt& operator=(const ConnectAttempt&) = delete;

  /// Carries on until there is an outcome, at most until `until`; then kPending. Throws std::bad_alloc; then the
  /// attempt must be discarded.
  [[nodiscard]] Progress advance(Time until);

  [[nodiscard]] std::shared_ptr<Connection> take_connection() noexcept { return std::move(connection_); }
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

 private:
  enum class Stage : std::uint8_t { kResolving, kOpening, kConnecting, kHandshake, kConnected, kFailed };

  void resolve(Time until);
  void open_next();
  void finish_connect(Time until);
  void start_handshake();
  void shake_hands(Time until);
  bool timed_out(Time until);
  void try_next_address(std::string why);
  void fail(Failure failure);

  const Url& url_;
  const ClientOptions& options_;
  const Handshake handshake_;
  Time deadline_;
  Stage stage_ = Stage::kResolving;
  std::shared_ptr<Resolution> resolution_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_address_ = 0;
  Time address_deadline_;               // that of the address being connected to
  std::unique_ptr<OpenSocket> socket_;  // until connection_ owns it
  std::shared_ptr<Connection> connection_;
  std::vector<Reply> answers_;  // of the handshake
  std::size_t expected_answers_ = 0;
  bool paused_ = false;  // the caller's deadline came first
  Time paused_at_;
  Failure failure_;
};

}  // namespace tollgate::inline v0
