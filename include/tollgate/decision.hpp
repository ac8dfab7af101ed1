/// The decision on one request, and the state of the user's budget. Thread safety: a plain value.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>

namespace tollgate::inline v0 {

/// Where a decision was made.
enum class Source : std::uint8_t {
  kRedis,     ///< by the client's reply (also for `memory://`)
  kLocal,     ///< in this process, without a round trip
  kFallback,  ///< by the FailurePolicy, because Redis gave no usable reply: see Decision::failure
};

struct Decision {
  bool allowed = false;
  std::int64_t limit = 0;                                ///< tokens per minute
  std::optional<std::int64_t> remaining = std::nullopt;  ///< tokens, never below 0; nothing = unknown
  /// How long to wait before the same request can succeed, rounded up to whole milliseconds. Nothing when the request
  /// was allowed, when waiting never helps (more tokens than the limit), and when the wait is unknown.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::chrono::milliseconds reset_after{0};  ///< until this window ends, rounded up; 1 … 60'000
  Source source = Source::kRedis;
  std::error_code failure = {};  ///< set when Redis gave no usable reply

  explicit operator bool() const noexcept { return allowed; }
};

}  // namespace tollgate::inline v0
