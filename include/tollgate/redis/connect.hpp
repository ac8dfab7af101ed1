/// From a URL to a client. Thread safety: connect() may be called from every thread; so may the client it returns.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tollgate/observer.hpp"
#include "tollgate/redis/redis_client.hpp"

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

  /// Told of this client's changes; null = nobody.
  std::shared_ptr<Observer> observer = nullptr;
};

/// A client for `url` (see Url). Throws std::invalid_argument on a malformed URL, on `rediss://` (this build has no
/// TLS) and on timeouts out of range. Does no I/O: the client connects at its first use.
/// Each call makes a client of its own: with connections of its own (one under load, up to four while few calls are
/// under way), or for `memory://` with a store of its own.
[[nodiscard]] std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options = {});

}  // namespace tollgate::inline v0
