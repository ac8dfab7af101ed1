/// One attempt to connect, as a state machine without I/O: it names the next action and takes its outcome. Its stages
/// are name resolution, connecting to the addresses in turn, TLS where the endpoint is encrypted, and the handshake
/// (AUTH, SELECT). Connector executes the
/// actions; an event loop can do the same.
///
/// The attempt fails after the connect timeout, not counting time in which no caller drives it. Each address gets a
/// share of the remaining time, so that a first address that does not respond cannot use it all.
/// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/error.hpp"
#include "tollgate/values/reply.hpp"
#include "transport/resolution.hpp"
#include "values/endpoint.hpp"

namespace tollgate::inline v0 {

/// The commands that must be answered before a connection is used: AUTH and SELECT where needed. kAlways: a PING where
/// neither is needed, because a server at its maximum of clients accepts a connection before it refuses it. Over TLS it
/// is kAlways: with TLS 1.3 a server refuses a client's certificate when that client takes the handshake for complete.
enum class Handshake : std::uint8_t { kAsNeeded, kAlways };

class ConnectAttempt {
 public:
  using Time = std::chrono::steady_clock::time_point;

  enum class Action : std::uint8_t {
    kResolve,       ///< find the addresses of the endpoint: resolved()
    kOpen,          ///< start to connect to address(): opening(), opened() or not_opened()
    kAwaitOpen,     ///< wait for that: opened(), not_opened()
    kSecure,        ///< make the TLS handshake: secured() or not_secured()
    kLogIn,         ///< get the credentials, and send the bytes of handshake()
    kAwaitAnswers,  ///< receive: answered() or lost()
    kConnected,     ///< the connection is ready
    kFailed,        ///< failure() says why
  };

  /// `endpoint` and `login` must outlive the attempt.
  ConnectAttempt(const Endpoint& endpoint, const Login& login, Handshake handshake, std::chrono::milliseconds timeout,
                 Time now)
      : endpoint_(endpoint),
        login_(login),
        handshake_(endpoint.is_encrypted ? Handshake::kAlways : handshake),
        deadline_(now + timeout) {}

  [[nodiscard]] Action action() const noexcept { return action_; }
  /// When to call timed_out() unless the action has an outcome.
  [[nodiscard]] Time deadline() const noexcept { return action_ == Action::kAwaitOpen ? address_deadline_ : deadline_; }
  [[nodiscard]] const SocketAddress& address() const noexcept { return addresses_[address_]; }
  /// The reply to Login::inquiry, perhaps an error; once connected.
  [[nodiscard]] const Reply& inquiry_reply() const noexcept { return answers_.back(); }
  [[nodiscard]] bool has_answered() const noexcept { return !answers_.empty(); }
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

  // The outcome of the action. All may throw std::bad_alloc; then the attempt must be discarded.

  void resolved(HostAddresses found);
  void opening(Time now);
  void opened() noexcept { action_ = endpoint_.is_encrypted ? Action::kSecure : Action::kLogIn; }
  void not_opened(std::string why);
  void secured() noexcept { action_ = Action::kLogIn; }
  void not_secured(Failure failure) { fail(std::move(failure)); }
  /// The handshake for `credentials` as RESP; empty when none is needed.
  [[nodiscard]] std::string handshake(const std::optional<Credentials>& credentials);
  void no_credentials();
  /// Appends `replies` to the answers of the handshake.
  void answered(std::span<const Reply> replies);
  void lost(Failure failure);
  void timed_out();

  /// Pauses the connect timeout from `now` until the next resume(), because no caller drives the attempt.
  void pause(Time now) noexcept { paused_at_ = now; }
  void resume(Time now) noexcept;

 private:
  void fail(Failure failure);

  const Endpoint& endpoint_;
  const Login& login_;
  const Handshake handshake_;
  Action action_ = Action::kResolve;
  Time deadline_;
  std::vector<SocketAddress> addresses_;
  std::size_t address_ = 0;  // index of the address that is tried
  Time address_deadline_{};
  std::vector<Reply> answers_;
  std::size_t expected_answers_ = 0;
  std::optional<Time> paused_at_;
  Failure failure_;
};

}  // namespace tollgate::inline v0
