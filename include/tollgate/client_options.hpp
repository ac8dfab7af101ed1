/// Options of a client: timeouts, credentials, TLS, observer. Thread safety: plain values.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"

namespace tollgate::inline v0 {

/// The arguments of AUTH.
struct Credentials {
  std::string username = {};  ///< empty = the default user
  std::string password = {};

  /// How long the server accepts them, from the call of the callback on; nothing = without end. Once three quarters of
  /// it have passed, the callback is called again on the client's service thread, and AUTH is sent on the live
  /// connections, in step with the replies, so that no call waits for it. The check is made at a use of the client: one
  /// that is not used is not logged in again; where the server closes its connections meanwhile, they are made anew at
  /// the next use. When the callback throws or the server refuses what it returned, EventKind::kCredentialsRefused is
  /// reported, the connection keeps its login, and the callback is called again after an eighth of this time (100 ms …
  /// 1 minute). Less than 1 s counts as 1 s. Ignored without ClientOptions::credentials.
  std::optional<std::chrono::seconds> valid_for = std::nullopt;
};

/// How a connection is encrypted; used for the URLs of TLS alone (rediss://, valkeys://). TLS 1.2 is the least; 1.3 is
/// used where the server has it. The files hold PEM; they are read at each connect, so that a rotated one needs no
/// restart. A file that cannot be read or used fails the attempt to connect (Errc::kTlsFailed) and is named there.
struct TlsOptions {
  /// The CAs to trust, in one file. Empty, as ca_path too: the system's.
  std::string ca_file = {};
  /// A folder of CAs, named by their hashes as `openssl rehash` does. CAs of ca_file are trusted besides.
  std::string ca_path = {};
  /// The client's certificate, and those between it and a CA behind it. Empty = none is shown.
  std::string cert_file = {};
  /// The private key of cert_file, without a password. Empty = it stands in cert_file.
  std::string key_file = {};
  /// The host name or IP address that the server's certificate must have, and the name sent as SNI; at most 253 bytes.
  /// Empty = the host of the URL.
  std::string server_name = {};
  /// Whether the server's certificate is verified: its chain, dates and name. False gives up the protection against
  /// whatever answers in the server's place; for a test only. No URL sets it.
  bool verify = true;

  bool operator==(const TlsOptions&) const = default;
};

/// Options of a client. The URL's `connect_timeout_ms` and `command_timeout_ms` take precedence over the timeouts here.
struct ClientOptions {
  /// For one attempt: name resolution, connecting, the TLS handshake, AUTH and SELECT. 1 ms … 1 hour. It does not hold
  /// a caller longer than that caller's own deadline: the next caller resumes the attempt.
  std::chrono::milliseconds connect_timeout{1000};

  /// For one call without a deadline of its own: queueing, connecting, writing and reading. 1 ms … 1 hour.
  std::chrono::milliseconds command_timeout{250};

  /// Called at each connect in place of the URL's user and password, and before Credentials::valid_for ends, so that a
  /// rotated password needs no restart; empty function (the default) = the URL's. A connection that gets NOAUTH or
  /// WRONGPASS although it has logged in is closed and made anew. AUTH is sent with what it returns. It is called on
  /// the threads that call the client and on its service thread, perhaps on several at once, while no lock is held. It
  /// delays those calls, so it should not block. When it throws, the attempt to connect fails and the exception is
  /// dropped.
  std::function<Credentials()> credentials = nullptr;

  /// Receives this client's events; null = no events.
  std::shared_ptr<Observer> observer = nullptr;

  /// The clock by which keys of `memory://` expire; null = tollgate::system_clock(). A limiter made from a URL passes
  /// its own clock. Clients of a server do not use it.
  std::shared_ptr<const Clock> clock = nullptr;

  /// For rediss:// and valkeys://; what the URL's query names takes precedence, field by field.
  TlsOptions tls = {};
};

}  // namespace tollgate::inline v0
