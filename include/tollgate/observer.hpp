/// Events of a limiter and its client, for logs and alerts. Derive from Observer and pass an object to
/// RateLimitConfig::observer or ClientOptions::observer. Counters are in Stats.
#pragma once

#include <cstdint>
#include <string>

#include "tollgate/detail/export.hpp"
#include "tollgate/error.hpp"

namespace tollgate::inline v0 {

enum class EventKind : std::uint8_t {
  // Events of a client: the state of its primary connection. `subject` is its URL, without password.
  kConnected,      ///< the connection is established; AUTH and SELECT were accepted
  kDisconnected,   ///< an established connection was lost, and not by its client's end; `failure` is the reason
  kCircuitOpened,  ///< calls fail at once from now on; `failure` is the last of those that opened the circuit
  kCircuitClosed,  ///< Redis has answered a probe: calls are sent again
  // Events of a limiter. `subject` is its key_prefix.
  /// From now on the FailurePolicy decides, under kThrow by throwing: `failure` is why Redis gave no usable reply to a
  /// charge or a read. Errors of a single counter (kWrongType, kOverflow) do not cause this event.
  kFallbackEntered,
  /// Redis decides again: it answered a request that was made a second or more after kFallbackEntered. Where a charge
  /// had failed, only an answer to a charge counts, because a full or read-only Redis still answers reads. Requests
  /// that are denied locally have no influence.
  kFallbackLeft,
  kUndoFailed,          ///< a denied or abandoned charge of `tokens` stays, or may stay, until its minute ends
  kSettlementFailed,    ///< a settlement of `tokens`, or a local share's grant, did not reach Redis, or may not have
  kRepairFailed,        ///< a counter whose charge was interrupted may have no expiry
  kReservationDropped,  ///< destroyed without settle() or cancel(): `tokens` stay charged
  /// Redis answered with an error of its configuration, see is_misconfiguration(): the FailurePolicy decides until that
  /// is changed. Reported once a minute.
  kMisconfigured,
  /// Redis refuses to run scripts: `failure` names the rights to grant. Until then tokens are given back by INCRBY and
  /// EXPIRE; when a reset or an eviction comes in between, those tokens can be granted once more.
  kScriptsRefused,
  // An event of a client.
  /// Credentials that should replace those that end (Credentials::valid_for) were refused, or the callback threw:
  /// `failure` is the reason. The connection keeps its login until the server closes it. Reported once until some are
  /// accepted.
  kCredentialsRefused,
  // Events of a BudgetLimiter; `limit` is the name of the limit, and `subject_hash` names who was charged.
  /// A charge brought what one subject has spent to Limit::warn_at_percent of the max in force, or above. Reported once
  /// until nothing of that is counted any more; `tokens` is what was spent.
  kThresholdPassed,
  /// A limit in shadow mode would have refused a request. Reported for each subject once until nothing of what it has
  /// spent is counted any more; `tokens` is the cost.
  kShadowRefused,
  /// An override of a limit's max was ignored: what BudgetConfig::override_max returned is out of range, or it threw,
  /// or
  /// the field in Redis is no decimal in range. Reported at most once a minute for each limit.
  kOverrideIgnored,
};

[[nodiscard]] TOLLGATE_EXPORT const char* to_string(EventKind kind) noexcept;

struct Event {
  EventKind kind;
  std::string subject = {};
  Failure failure = {};
  std::int64_t tokens = 0;
  std::string limit = {};         ///< the name of a BudgetLimiter's limit
  std::string subject_hash = {};  ///< as BudgetLimiter::subject_hash() returns it; an event holds no user data
};

/// Receives events. Thread safety: on_event may be called on any thread that calls the limiter, and on the client's
/// service thread; one call at a time for each client and each limiter, in the order of the events.
class TOLLGATE_EXPORT Observer {
 public:
  virtual ~Observer() = default;

  /// Called while no lock is held, once per change and never per request: for failed undos, settlements and repairs the
  /// first after a success, for dropped reservations the first in each minute. It delays the caller of the limiter, so
  /// it should not block: while 1024 events are queued, further ones are dropped. It may call the limiter while that
  /// exists.
  virtual void on_event(const Event& event) noexcept = 0;
};

}  // namespace tollgate::inline v0
