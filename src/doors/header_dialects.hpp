/// The header fields of each dialect, from a view that the decisions of every limiter can be converted to. It reads no
/// clock and draws no random number.
/// Thread safety: plain values and functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/http_headers.hpp"

namespace tollgate::inline v0 {

/// What a limit counts. The dialects of OpenAI and Anthropic have fields for requests and tokens alone.
enum class LimitUnit : std::uint8_t { kRequests, kTokens, kConcurrentRequests, kOther };

/// One limit as header fields describe it.
struct LimitView {
  std::string_view name = {};  ///< printable ASCII
  LimitUnit unit = LimitUnit::kTokens;
  std::int64_t max = 0;
  std::optional<std::int64_t> remaining = std::nullopt;
  std::chrono::milliseconds reset_after{0};  ///< until nothing counts any more; 0 without `remaining` = unknown
  /// Until the request that was refused fits, where that is sooner (a token bucket); nothing = at reset_after.
  std::optional<std::chrono::milliseconds> usable_after = std::nullopt;
  std::optional<std::chrono::seconds> window = std::nullopt;  ///< nothing = it has no fixed length
  bool refuses = false;
  std::string_view subject = {};  ///< whose budget; empty = not told
};

struct DecisionView {
  std::vector<LimitView> limits;
  /// Until the refused request can succeed, jitter included; nothing = allowed, never, or not known.
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  bool never_fits = false;
};

/// `partition_secret` empty = without `pk`.
[[nodiscard]] std::vector<HttpHeader> ietf_headers(const DecisionView& decision, std::string_view partition_secret);
[[nodiscard]] std::vector<HttpHeader> openai_headers(const DecisionView& decision);
[[nodiscard]] std::vector<HttpHeader> anthropic_headers(const DecisionView& decision,
                                                        std::chrono::system_clock::time_point now);

/// The body of a 429 (problem type quota-exceeded) with the names of the limits that refuse, or, when Redis could not
/// be asked, of a 503 (temporary-reduced-capacity).
[[nodiscard]] HttpProblem quota_exceeded(const DecisionView& decision);
[[nodiscard]] HttpProblem reduced_capacity();

}  // namespace tollgate::inline v0
