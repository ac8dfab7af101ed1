/// Errors that answer questions: may the request have been executed, and is it worth trying again?
///
/// Denial is a value, never an error; bad arguments are std::invalid_argument and are not found here.
/// Thread safety: plain values.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tollgate/detail/export.hpp"

namespace tollgate::inline v0 {

/// Why Redis could not be asked, or what it answered instead.
enum class Errc {
  kTimeout = 1,       ///< the deadline passed
  kConnectFailed,     ///< no connection could be made, or none is tried before the next attempt is due
  kConnectionLost,    ///< the connection ended while the request was under way
  kOverloaded,        ///< too many requests in flight on this client; nothing was sent
  kProtocol,          ///< what came back is not what Redis would send
  kServerError,       ///< an error reply that has no line of its own below
  kOutOfMemory,       ///< OOM: Redis is at its maxmemory
  kAuthRequired,      ///< NOAUTH: the URL has no password and Redis wants one
  kAuthFailed,        ///< WRONGPASS, or AUTH where Redis has no password
  kPermissionDenied,  ///< NOPERM: an ACL forbids the command or the key
  kLoading,           ///< LOADING, MASTERDOWN, CLUSTERDOWN, TRYAGAIN: not ready yet
  kReadOnly,          ///< READONLY or MISCONF: this server takes no writes now
  kBusy,              ///< BUSY: a script is blocking Redis
  kWrongType,         ///< the key holds something that is no counter
  kOverflow,          ///< the counter would leave the range of int64
  kMoved,             ///< MOVED, ASK: this node of a Cluster does not hold the key; the URL must be redis+cluster://
  kCrossSlot,         ///< CROSSSLOT: a script's keys lie in different hash slots of a Cluster
  kUnknownCommand,    ///< the server has no such command, or it was renamed away
};

TOLLGATE_EXPORT const std::error_category& error_category() noexcept;
TOLLGATE_EXPORT std::error_code make_error_code(Errc code) noexcept;

/// Whether the same call may succeed later without anybody changing its arguments or Redis's configuration.
[[nodiscard]] TOLLGATE_EXPORT bool is_retryable(std::error_code code) noexcept;

/// Whether `code` says that Redis or its users are not set up for tollgate (no password or the wrong one, a missing
/// right, a renamed command, a key that is no counter, a node of a Cluster): no outage, and it lasts until that
/// changes.
[[nodiscard]] TOLLGATE_EXPORT bool is_misconfiguration(std::error_code code) noexcept;

/// What went wrong, as a value: costs nothing where nothing did.
struct Failure {
  std::error_code code;            ///< empty = nothing went wrong
  bool may_have_executed = false;  ///< some of the request's bytes had left and no reply tells what became of them
  std::string detail = {};         ///< where and how, in our words; never holds a password
  std::string server_text = {};    ///< Redis's own words, where it spoke; may hold user data
};

/// Root of what tollgate throws when Redis could not be asked.
class TOLLGATE_EXPORT Error : public std::runtime_error {
 public:
  explicit Error(Failure failure);

  [[nodiscard]] std::error_code code() const noexcept { return failure_.code; }
  /// True when the request may have been executed although no reply came: the charge may stand.
  [[nodiscard]] bool may_have_executed() const noexcept { return failure_.may_have_executed; }
  /// True when the same call may succeed later as it is.
  [[nodiscard]] bool retryable() const noexcept { return is_retryable(failure_.code); }
  /// True when the set-up is to be changed, see is_misconfiguration().
  [[nodiscard]] bool misconfiguration() const noexcept { return is_misconfiguration(failure_.code); }

 protected:
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

/// No usable connection: refused, lost, not tried now, too much in flight, or talking gibberish.
class TOLLGATE_EXPORT ConnectionError : public Error {
 public:
  using Error::Error;
};

/// The deadline passed first.
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

/// Throws the class above that fits `failure.code`, which must not be empty.
[[noreturn]] TOLLGATE_EXPORT void throw_failure(Failure failure);

/// The failure that an error reply of Redis stands for, recognised by its first words. `command`: the name of the
/// command that was answered so, for `detail`; empty = not known.
[[nodiscard]] TOLLGATE_EXPORT Failure failure_from_error_reply(std::string_view server_text,
                                                               std::string_view command = {});

}  // namespace tollgate::inline v0

template <>
struct std::is_error_code_enum<tollgate::Errc> : std::true_type {};
