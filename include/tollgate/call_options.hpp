/// Options of one call, and one request of consume_all.
/// Thread safety: plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tollgate::inline v0 {

struct CallOptions {
  /// When the call must have returned, earlier or later than the client's command timeout would allow. Nothing (the
  /// default) = the command timeout. A deadline in the past fails at once, and nothing is sent.
  std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt;

  /// Names this operation, 1 … 128 bytes, chosen by the caller and unique per user: repeating it within two minutes
  /// returns the first answer and charges once (on a node of a Redis Cluster: where the repetition in a later minute
  /// starts after the first was executed). Nothing = each call is an operation of its own. Needs
  /// Admission::kAtomic, and costs one more key per operation, of about 100 bytes in Redis for two minutes.
  /// Read by consume, check_and_consume, try_consume, reserve, record and Reservation::settle.
  std::optional<std::string_view> operation_id = std::nullopt;
};

/// One of the requests of consume_all.
struct ConsumeRequest {
  std::string_view user_id;  ///< as of consume; must stay valid during the call
  std::int64_t tokens = 1;   ///< as of consume
};

}  // namespace tollgate::inline v0
