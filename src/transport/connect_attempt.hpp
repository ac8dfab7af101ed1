/// One attempt to connect: resolve, connect to the addresses in turn, greet (AUTH, SELECT). It can be left at any
/// deadline and resumed by another caller.
/// Thread safety: one thread at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tollgate/client_options.hpp"
#include "transport/connection.hpp"
#include "transport/resolution.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

/// What must be answered before a connection carries anything: AUTH and SELECT where there is need; or, where there is
/// none, a PING all the same, for a server that takes no more clients accepts them first.
enum class Greeting : std::uint8_t { kAsNeeded, kAlways };

class ConnectAttempt {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Progress : std::uint8_t { kPending, kConnected, kFailed };

  /// The attempt fails `options.connect_timeout` after `now`, to which the time is added during which nobody drives it.
  /// `descriptor` always holds the socket in use, for a forked child to close.
  ConnectAttempt(const Url& url, const ClientOptions& options, Greeting greeting, Time now,
                 std::atomic<int>& descriptor);
  ~ConnectAttempt();
  ConnectAttempt(const ConnectAttempt&) = delete;
  ConnectAttempt& operator=(const ConnectAttempt&) = delete;

  /// Carries on until there is an outcome, at most until `until`; then kPending.
  [[nodiscard]] Progress advance(Time until);

  [[nodiscard]] std::shared_ptr<Connection> take_connection() noexcept { return std::move(connection_); }
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

 private:
  enum class Stage : std::uint8_t { kResolving, kOpening, kConnecting, kGreeting, kConnected, kFailed };

  void resolve(Time until);
  void open_next();
  void finish_connect(Time until);
  void start_greeting();
  void greet(Time until);
  bool timed_out(Time until);
  void try_next_address(std::string why);
  void fail(Failure failure);
  void set_descriptor(int descriptor) noexcept;

  const Url& url_;
  const ClientOptions& options_;
  const Greeting greeting_;
  Time deadline_;
  std::atomic<int>& descriptor_slot_;
  Stage stage_ = Stage::kResolving;
  std::shared_ptr<Resolution> resolution_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_address_ = 0;
  Time address_deadline_;  // that of the address being connected to
  int descriptor_ = -1;    // until connection_ owns it
  std::shared_ptr<Connection> connection_;
  std::vector<Reply> greetings_;
  std::size_t expected_greetings_ = 0;
  bool paused_ = false;  // the caller's deadline came first
  Time paused_at_;
  Failure failure_;
};

}  // namespace tollgate::inline v0
