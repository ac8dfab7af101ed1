/// One attempt to connect, as a state machine without I/O: it names the next action, and takes what became of it. Its
/// stages are name resolution, the addresses in turn, and the handshake (AUTH, SELECT). Connector carries it out; an
/// event loop can do the same.
///
/// The attempt fails when the connect timeout is over, not counting the time in which no caller drives it. Each address
/// has its share of the time that is left, so that a silent first one does not use it all.
/// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tollgate/error.hpp"
#include "tollgate/values/reply.hpp"
#include "transport/resolution.hpp"
#include "values/endpoint.hpp"

namespace tollgate::inline v0 {

/// What must be answered before a connection carries anything: AUTH and SELECT where they are needed; kAlways: where
/// they are not, a PING, because a server that takes no more clients accepts their connections first.
enum class Handshake : std::uint8_t { kAsNeeded, kAlways };

class ConnectAttempt {
 public:
  using Time = std::chrono::steady_clock::time_point;

  enum class Action : std::uint8_t {
    kResolve,       ///< find the addresses of the endpoint: resolved()
    kOpen,          ///< begin to connect to address(): opening(), opened() or not_opened()
    kAwaitOpen,     ///< wait for that: opened(), not_opened()
    kLogIn,         ///< get the credentials, and send the bytes of handshake()
    kAwaitAnswers,  ///< receive: answered() or lost()
    kConnected,     ///< the connection is ready
    kFailed,        ///< failure() says why
  };

  /// `endpoint` and `login` must outlive the attempt.
  ConnectAttempt(const Endpoint& endpoint, const Login& login, Handshake handshake, std::chrono::milliseconds timeout,
                 Time now)
      : endpoint_(endpoint), login_(login), handshake_(handshake), deadline_(now + timeout) {}

  [[nodiscard]] Action action() const noexcept { return action_; }
  /// When to call timed_out() for want of an outcome.
  [[nodiscard]] Time deadline() const noexcept { return action_ == Action::kAwaitOpen ? address_deadline_ : deadline_; }
  [[nodiscard]] const SocketAddress& address() const noexcept { return addresses_[address_]; }
  [[nodiscard]] bool has_answered() const noexcept { return !answers_.empty(); }
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

  // What became of the action. All may throw std::bad_alloc; then the attempt must be discarded.

  void resolved(HostAddresses found);
  void opening(Time now);
  void opened() noexcept { action_ = Action::kLogIn; }
  void not_opened(std::string why);
  /// The handshake for `credentials` as RESP; nothing is to be sent where none is needed.
  [[nodiscard]] std::string handshake(const std::optional<Credentials>& credentials);
  void no_credentials();
  /// Appends `replies` to the answers of the handshake.
  void answered(std::span<const Reply> replies);
  void lost(Failure failure);
  void timed_out();

  /// No caller drives the attempt from `now` until the next resume().
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
  std::size_t address_ = 0;  // the one that is tried
  Time address_deadline_{};
  std::vector<Reply> answers_;
  std::size_t expected_answers_ = 0;
  std::optional<Time> paused_at_;
  Failure failure_;
};

}  // namespace tollgate::inline v0
