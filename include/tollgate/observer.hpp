/// Reports of what goes wrong, and right again, as it happens: for logs and alerts. Derive from Observer and hand it to
/// RateLimitConfig::observer or ClientOptions::observer. What is to be counted is in Stats.
#pragma once

#include <cstdint>
#include <string>

#include "tollgate/detail/export.hpp"
#include "tollgate/error.hpp"

namespace tollgate::inline v0 {

enum class EventKind : std::uint8_t {
  // Of a client, whose first connection speaks for all; `subject` is its URL, without password.
  kConnected,      ///< it stands, AUTH and SELECT were accepted
  kDisconnected,   ///< it stood and has ended, not by its client's end; `failure` says why
  kCircuitOpened,  ///< calls fail at once from now on; `failure` is what was once too often
  kCircuitClosed,  ///< Redis has answered a probe: calls are made again
  // Of a limiter; `subject` is its key_prefix.
  /// From now on the FailurePolicy decides, be it by throwing: `failure` is why Redis could not be asked (to charge or
  /// to look). What concerns a single counter (kWrongType, kOverflow) does not count.
  kFallbackEntered,
  /// Redis has decided again: it answered what was asked a second or more after kFallbackEntered. Where that came from
  /// a failed charge,
  /// it answered a charge: a full or read-only Redis still answers looks. What is denied locally changes nothing.
  kFallbackLeft,
  kUndoFailed,        ///< a denied or abandoned charge of `tokens` stays, or may stay, until its minute ends
  kSettlementFailed,  ///< a difference of `tokens` did not reach Redis, or may not have; so what a local share granted
  kRepairFailed,      ///< a counter whose charge was cut off may have no expiry
  kReservationDropped,  ///< destroyed without settle() or cancel(): `tokens` stay charged
  /// Redis answered with an error that no outage explains, see is_misconfiguration(): the FailurePolicy decides until
  /// the set-up is changed. The first in each minute.
  kMisconfigured,
  /// Redis refuses to run scripts: `failure` names the rights to grant. Until then what is given back travels as INCRBY
  /// and EXPIRE, and a reset or an eviction in between lets those tokens be granted once more.
  kScriptsRefused,
};

[[nodiscard]] TOLLGATE_EXPORT const char* to_string(EventKind kind) noexcept;

struct Event {
  EventKind kind;
  std::string subject = {};
  Failure failure = {};
  std::int64_t tokens = 0;
};

/// Thread safety: on_event may be called on any thread that calls the limiter, one call at a time for each client and
/// each limiter, in the order in which things happened.
class TOLLGATE_EXPORT Observer {
 public:
  virtual ~Observer() = default;

  /// Called while no lock is held, once per change and never per request: of failed undos, settlements and repairs the
  /// first after a success, of dropped reservations the first in each minute. It delays the call that it is made from,
  /// so it should not block: while 1024 events wait, further ones are dropped. It may call the limiter, as long as that
  /// lives.
  virtual void on_event(const Event& event) noexcept = 0;
};

}  // namespace tollgate::inline v0
