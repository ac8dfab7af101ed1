/// Options of a client: timeouts, credentials, observer. Thread safety: plain values.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"

namespace tollgate::inline v0 {

/// What AUTH is sent with.
struct Credentials {
  std::string username = {};  ///< empty = the default user
  std::string password = {};
};

/// Options of a client. The URL's `connect_timeout_ms` and `command_timeout_ms` win over the timeouts
/// here.
struct ClientOptions {
  /// For one attempt: name resolution, connecting, AUTH and SELECT. 1 ms … 1 hour. It does not hold a caller longer
  /// than that caller's own deadline: the next caller resumes the attempt.
  std::chrono::milliseconds connect_timeout{1000};

  /// For one call without a deadline of its own: queueing, connecting, writing and reading. 1 ms … 1 hour.
  std::chrono::milliseconds command_timeout{250};

  /// Asked at each connect, instead of the URL's user and password, so that a rotated password needs no restart; empty
  /// function = the URL's. AUTH is sent with whatever it returns. Called on a thread that makes a call, perhaps on
  /// several at once, while no lock is held. It delays that call, so it should not block; where it throws, the attempt
  /// to connect has failed, and what it threw is dropped.
  std::function<Credentials()> credentials = nullptr;

  /// Is called with this client's events; null = none.
  std::shared_ptr<Observer> observer = nullptr;

  /// By which the keys of `memory://` expire; null = tollgate::system_clock(). A limiter made from a URL passes its
  /// own. Clients of a server do not read it.
  std::shared_ptr<const Clock> clock = nullptr;
};

}  // namespace tollgate::inline v0
