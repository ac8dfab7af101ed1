/// The answer to "has this user tokens left this minute?". A plain value.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>

namespace tollgate::inline v0 {

/// Who gave the answer.
enum class Source : std::uint8_t {
  kRedis,     ///< the client answered (also when it is `memory://`)
  kLocal,     ///< no round trip was needed
  kFallback,  ///< the FailurePolicy: Redis could not be asked, see Decision::failure
};

struct Decision {
  bool allowed = false;
  std::int64_t limit = 0;                                ///< tokens per minute
  std::optional<std::int64_t> remaining = std::nullopt;  ///< tokens, never below 0; nothing = not known
  /// How long to wait before the same request can succeed, rounded up to whole milliseconds. Nothing when it was
  /// allowed, when waiting never helps (more tokens than the limit), and when it is not known.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::chrono::milliseconds reset_after{0};  ///< until this window ends, rounded up; 1 … 60'000
  Source source = Source::kRedis;
  std::error_code failure = {};  ///< set when Redis could not be asked

  explicit operator bool() const noexcept { return allowed; }
};

}  // namespace tollgate::inline v0
