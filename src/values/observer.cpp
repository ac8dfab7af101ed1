#include "tollgate/observer.hpp"

namespace tollgate::inline v0 {

const char* to_string(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::kConnected: return "connected";
    case EventKind::kDisconnected: return "disconnected";
    case EventKind::kCircuitOpened: return "circuit opened";
    case EventKind::kCircuitClosed: return "circuit closed";
    case EventKind::kFallbackEntered: return "fallback entered";
    case EventKind::kFallbackLeft: return "fallback left";
    case EventKind::kUndoFailed: return "undo failed";
    case EventKind::kSettlementFailed: return "settlement failed";
    case EventKind::kRepairFailed: return "repair failed";
    case EventKind::kReservationDropped: return "reservation dropped";
    case EventKind::kMisconfigured: return "misconfigured";
    case EventKind::kScriptsRefused: return "scripts refused";
    case EventKind::kCredentialsRefused: return "credentials refused";
    case EventKind::kThresholdPassed: return "threshold passed";
    case EventKind::kShadowRefused: return "shadow refused";
    case EventKind::kOverrideIgnored: return "override ignored";
  }
  return "unknown";
}

}  // namespace tollgate::inline v0
