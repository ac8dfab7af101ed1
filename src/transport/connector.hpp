/// Executes a ConnectAttempt with blocking waits that end at the caller's deadline; the next caller resumes it.
/// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "transport/connect_attempt.hpp"
#include "transport/connection.hpp"
#include "transport/connection_source.hpp"
#include "transport/login_renewal.hpp"
#include "transport/open_socket.hpp"
#include "transport/resolution.hpp"
#include "transport/tls_context.hpp"
#include "transport/tls_stream.hpp"

namespace tollgate::inline v0 {

class Connector final : public PendingConnection {
 public:
  /// `endpoint`, `login` and `tls` must outlive the connector; `tls` is null where the endpoint is not encrypted.
  Connector(const Endpoint& endpoint, const Login& login, TlsContext* tls, Handshake handshake,
            std::chrono::milliseconds timeout, Time now)
      : endpoint_(endpoint), login_(login), tls_(tls), attempt_(endpoint, login, handshake, timeout, now) {}

  [[nodiscard]] Progress advance(Time until) override;
  [[nodiscard]] std::shared_ptr<Connection> take_connection() noexcept override { return std::move(connection_); }
  [[nodiscard]] const Failure& failure() const noexcept override { return attempt_.failure(); }

  [[nodiscard]] const LoginRenewal& login() const noexcept override { return login_renewal_; }
  /// The reply to Login::inquiry, once connected.
  [[nodiscard]] const Reply& inquiry_reply() const noexcept { return attempt_.inquiry_reply(); }

 private:
  void resolve(Time until);
  void open();
  void await_open(Time until);
  void secure(Time until);
  void log_in();
  void await_answers(Time until);

  const Endpoint& endpoint_;
  const Login& login_;
  TlsContext* const tls_;
  ConnectAttempt attempt_;
  std::shared_ptr<Resolution> resolution_;
  std::unique_ptr<OpenSocket> socket_;  // until a stream owns it
  std::unique_ptr<TlsStream> secured_;  // until connection_ owns it
  std::shared_ptr<Connection> connection_;
  LoginRenewal login_renewal_;
  std::vector<Reply> replies_;
  bool is_paused_ = false;  // the caller's deadline passed before the outcome
};

}  // namespace tollgate::inline v0
