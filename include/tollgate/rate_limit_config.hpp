/// Options of a limiter, checked once when it is made. Thread safety: plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tollgate/clock.hpp"
#include "tollgate/observer.hpp"

namespace tollgate::inline v0 {

/// The largest number of tokens in any field or argument: what a Lua number holds exactly (2^53 - 1).
inline constexpr std::int64_t kMaxTokens = (std::int64_t{1} << 53) - 1;

enum class Admission : std::uint8_t {
  kPipelined,  ///< INCRBY + EXPIRE in one round trip, undone on denial: what the Python service does
  kAtomic,     ///< one script that checks, then adds: a denial writes nothing
};

/// The decision when Redis gives no usable reply (no connection, no reply in time, an error reply).
enum class FailurePolicy : std::uint8_t {
  kThrow,       ///< throw tollgate::Error; try_consume denies instead
  kAllow,       ///< let the request pass, uncounted: the budget is not kept while Redis is away
  kDeny,        ///< refuse the request
  kLocalShare,  ///< grant from this process's own share of the budget, see RateLimitConfig::local_share
};

struct RateLimitConfig {
  /// Tokens per user and minute, 1 … kMaxTokens. It may differ between hosts: each admits up to its own.
  std::int64_t max_tokens_per_minute = 10'000;

  /// First part of every key, 0 … 512 bytes. Limiters with the same prefix share budgets.
  std::string key_prefix = "ractogateway:ratelimit";

  Admission admission = Admission::kPipelined;

  FailurePolicy on_failure = FailurePolicy::kThrow;

  /// How long this process remembers that few tokens were left, and denies larger requests without a round trip. It
  /// never admits a request; tokens that other processes give back become visible after this time. 0 … 60'000 ms, by
  /// default 1000; 0 = off: every request goes to Redis, and each denied kPipelined request inflates the counter until
  /// its undo is executed.
  std::chrono::milliseconds deny_memory{1000};

  /// The source of time; null = tollgate::system_clock().
  std::shared_ptr<const Clock> clock = nullptr;

  /// The key with which Reservation::token() is authenticated, 0 or 16 … 512 bytes, the same on every host. Empty:
  /// tokens are protected against damage only, not against forgery. Appears in no message.
  std::string token_secret = {};

  /// Under kLocalShare: tokens per user and minute that this process grants by itself while Redis gives no usable
  /// reply, less what Redis granted it earlier in that minute. 0 … max_tokens_per_minute; nothing = a tenth of that,
  /// rounded up. The overshoot is at most the number of processes × share: with the default, ten processes admit at
  /// most one more budget. Granted tokens are charged as soon as Redis is reachable again; tokens given back later do
  /// not return to the share. A request whose reply was lost may be charged twice, never too little; it always is when
  /// it had an operation_id and had been executed. Takes 1 MB per limiter.
  std::optional<std::int64_t> local_share = std::nullopt;

  /// Receives this limiter's events; null = no events. A limiter made from a URL passes it to its client too.
  std::shared_ptr<Observer> observer = nullptr;
};

}  // namespace tollgate::inline v0
