/// Errors of a request that Redis did not answer as expected. They say whether it may have been executed, and whether
/// a retry may succeed.
///
/// A denial is a value, never an error. Bad arguments are std::invalid_argument, which is not declared here.
/// Thread safety: plain values.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tollgate/detail/export.hpp"

namespace tollgate::inline v0 {

/// Why there was no usable reply.
enum class Errc {
  kTimeout = 1,       ///< the deadline passed
  kConnectFailed,     ///< no connection could be made, or the next attempt is not due yet
  kConnectionLost,    ///< the connection ended while the request was in flight
  kOverloaded,        ///< too many requests in flight on this client; nothing was sent
  kProtocol,          ///< the reply is not one that Redis sends to this command
  kServerError,       ///< an error reply that has no code of its own below
  kOutOfMemory,       ///< OOM: Redis is at its maxmemory
  kAuthRequired,      ///< NOAUTH: the URL has no password and Redis requires one
  kAuthFailed,        ///< WRONGPASS, or AUTH where Redis has no password
  kPermissionDenied,  ///< NOPERM: an ACL forbids the command or the key
  kLoading,           ///< LOADING, MASTERDOWN, CLUSTERDOWN, TRYAGAIN: Redis is not ready yet
  kReadOnly,          ///< READONLY or MISCONF: this server accepts no writes now
  kBusy,              ///< BUSY: a script is blocking Redis
  kWrongType,         ///< the key does not hold a counter
  kOverflow,          ///< the counter would leave the range of int64
  kMoved,             ///< MOVED, ASK: this node of a Cluster does not hold the key; the URL must be redis+cluster://
  kCrossSlot,         ///< CROSSSLOT: a script's keys lie in different hash slots of a Cluster
  kUnknownCommand,    ///< the server has no such command, or it was renamed away
  kTlsFailed,         ///< a certificate was refused, a file of TlsOptions is of no use, or the server speaks no TLS
  kWrongTopology,     ///< the URL's scheme does not fit the servers, or no sentinel has the URL's service
};

TOLLGATE_EXPORT const std::error_category& error_category() noexcept;
TOLLGATE_EXPORT std::error_code make_error_code(Errc code) noexcept;

/// Whether the same call may succeed later with the same arguments and the same Redis configuration.
[[nodiscard]] TOLLGATE_EXPORT bool is_retryable(std::error_code code) noexcept;

/// Whether `code` means that Redis or its users are not configured for tollgate: no password or a wrong one, a missing
/// right, a renamed command, a key that is no counter, a node of a Cluster, a certificate. Such an error is not an
/// outage; it lasts until the configuration is changed.
[[nodiscard]] TOLLGATE_EXPORT bool is_misconfiguration(std::error_code code) noexcept;

/// An error as a value. It allocates nothing when there is no error.
struct Failure {
  std::error_code code;            ///< empty = no error
  bool may_have_executed = false;  ///< bytes of the request had been sent, and no reply has come
  std::string detail = {};         ///< where and how, in our words; never holds a password
  std::string server_text = {};    ///< the text of Redis's error reply, if any; may hold user data
};

/// Base class of what tollgate throws when Redis gave no usable reply.
class TOLLGATE_EXPORT Error : public std::runtime_error {
 public:
  explicit Error(Failure failure);

  [[nodiscard]] std::error_code code() const noexcept { return failure_.code; }
  /// True when the request may have been executed although no reply came: the charge may stand.
  [[nodiscard]] bool may_have_executed() const noexcept { return failure_.may_have_executed; }
  /// True when the same call may succeed later unchanged.
  [[nodiscard]] bool retryable() const noexcept { return is_retryable(failure_.code); }
  /// True when the configuration must be changed, see is_misconfiguration().
  [[nodiscard]] bool misconfiguration() const noexcept { return is_misconfiguration(failure_.code); }

 protected:
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

/// No usable connection: refused, lost, not attempted now, overloaded, or out of protocol.
class TOLLGATE_EXPORT ConnectionError : public Error {
 public:
  using Error::Error;
};

/// The deadline passed before the reply came.
class TOLLGATE_EXPORT TimeoutError : public Error {
 public:
  using Error::Error;
};

/// Redis answered with an error. what() names its kind, the command and the error's code word; the server's own words
/// may hold user data and are kept apart.
class TOLLGATE_EXPORT ServerError : public Error {
 public:
  using Error::Error;
  [[nodiscard]] const std::string& server_text() const noexcept { return failure().server_text; }
};

/// Throws the class above that corresponds to `failure.code`, which must not be empty.
[[noreturn]] TOLLGATE_EXPORT void throw_failure(Failure failure);

/// The failure for an error reply of Redis, recognised by its first words. `command`: the name of the command that was
/// answered, for `detail`; empty = unknown.
[[nodiscard]] TOLLGATE_EXPORT Failure failure_from_error_reply(std::string_view server_text,
                                                               std::string_view command = {});

}  // namespace tollgate::inline v0

template <>
struct std::is_error_code_enum<tollgate::Errc> : std::true_type {};
