/// Decisions as HTTP: the header fields by which clients pace themselves, and the body of a denial.
///
///     const tollgate::Decision decision = limiter.consume(user_id, tokens);
///     for (const auto& [name, value] : rate_limit_headers(decision, tollgate::HeaderDialect::kIetf)) {
///       response.add_header(name, value);
///     }
///     if (!decision) {
///       const tollgate::HttpProblem problem = rate_limit_problem(decision);
///       response.send(problem.status, tollgate::HttpProblem::kContentType, problem.body);
///     }
///
/// Decisions of a BudgetLimiter likewise, with one policy per limit. No function does I/O beyond reading the clock and,
/// for a denial, the kernel's random numbers. They throw std::invalid_argument when an option is out of range. Thread
/// safety: plain functions and values.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/budget_config.hpp"
#include "tollgate/budget_decision.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/detail/export.hpp"

namespace tollgate::inline v0 {

/// Which header fields to send. In each dialect, what the decision does not tell (`remaining` unknown) is left out.
enum class HeaderDialect : std::uint8_t {
  /// `ratelimit-policy`, `ratelimit` and `retry-after` of draft-ietf-httpapi-ratelimit-headers-11, as structured fields
  /// (RFC 9651). Their integers have 15 digits at most: larger quotas are sent as 999'999'999'999'999.
  kIetf,
  /// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, `retry-after`, `retry-after-ms`. Resets are durations
  /// such as "1m30.5s". When waiting never helps, `x-should-retry: false`, which OpenAI's SDKs obey.
  kOpenAi,
  /// `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`, `retry-after`. Resets are instants (RFC 3339,
  /// UTC), rounded up to whole seconds. When waiting never helps, `x-should-retry: false`, which Anthropic's SDKs obey.
  kAnthropic,
};

/// One header field. Names are in lower case, as HTTP/2 and HTTP/3 demand; HTTP/1.1 accepts any case. Values are
/// printable ASCII.
struct HttpHeader {
  std::string name;
  std::string value;
  bool operator==(const HttpHeader&) const = default;
};

/// What a service decides once for all its responses.
struct HeaderOptions {
  /// The name that clients see of a RedisRateLimiter's limit: 1 … 64 bytes of printable ASCII. It should name the unit,
  /// because no unit is registered for tokens, and without one the IETF's fields count requests. The limits of a
  /// BudgetLimiter have names of their own, for which the same holds.
  std::string policy = "tokens-per-minute";

  /// The limits of a BudgetLimiter that kOpenAi and kAnthropic show as requests, and as tokens, by their names; of
  /// several, the most restrictive. A limit in neither list is shown by kIetf alone.
  std::vector<std::string> request_limits = {};
  std::vector<std::string> token_limits = {};

  /// The key of `pk`, the IETF's partition key, by which a client that acts for many users tells their budgets apart:
  /// 0 or 16 … 512 bytes, the same on every host. `pk` is the first half of the HMAC-SHA-256 of the user's id, so that
  /// ids cannot be found by hashing guesses. Empty: no `pk` is sent. Appears in no header and no message.
  std::string partition_secret = {};

  /// Retry-After is the decision's retry_after plus a random delay of 0 … max_jitter, so that clients that were denied
  /// in the same window do not all return at its end. 0 … 3'600'000 ms, by default 5 s; 0 = none. kOpenAi and
  /// kAnthropic use less of it where the sum would exceed 60 s, because many SDKs ignore a longer delay and retry after
  /// a short one of their own.
  std::chrono::milliseconds max_jitter{5000};

  /// Returns 64 random bits; null = the kernel's. Called once for each denial that is sent with Retry-After.
  std::function<std::uint64_t()> random = nullptr;

  /// The source of time for kAnthropic's instants; null = tollgate::system_clock().
  std::shared_ptr<const Clock> clock = nullptr;
};

/// The header fields for a response, whatever its status. A denial has `retry-after` in whole seconds, never earlier
/// than the window's end; it has none when waiting never helps (more tokens than the limit), and when the wait is not
/// known (Decision::failure is set). `user_id` is sent as `pk` alone, see HeaderOptions::partition_secret; empty = no
/// `pk`.
[[nodiscard]] TOLLGATE_EXPORT std::vector<HttpHeader> rate_limit_headers(const Decision& decision,
                                                                         HeaderDialect dialect,
                                                                         const HeaderOptions& options = {},
                                                                         std::string_view user_id = {});

/// Likewise for a BudgetLimiter. `charges` are those of the request, whose subjects are sent as `pk` alone; empty = no
/// `pk`. Throws std::invalid_argument when there are others than the decision has states. A limit in shadow mode is
/// left out while it would refuse. In the IETF's fields, `t` of a limit that refuses is the time until the request
/// fits, and concurrent limits have the unit `concurrent-requests`.
[[nodiscard]] TOLLGATE_EXPORT std::vector<HttpHeader> rate_limit_headers(const BudgetDecision& decision,
                                                                         HeaderDialect dialect,
                                                                         const HeaderOptions& options = {},
                                                                         std::span<const Charge> charges = {});

/// Status and body of a denial: problem details for HTTP APIs (RFC 9457).
struct HttpProblem {
  static constexpr std::string_view kContentType = "application/problem+json";

  int status = 0;
  std::string body;
};

/// 429 with the IETF draft's problem type `quota-exceeded`, which names the policy; or, when the FailurePolicy denied
/// because Redis could not be asked, 503 with `temporary-reduced-capacity`. Throws std::invalid_argument when the
/// decision allows the request. Of the options only `policy` is used.
[[nodiscard]] TOLLGATE_EXPORT HttpProblem rate_limit_problem(const Decision& decision,
                                                             const HeaderOptions& options = {});

/// Likewise for a BudgetLimiter, with the names of all limits that refuse.
[[nodiscard]] TOLLGATE_EXPORT HttpProblem rate_limit_problem(const BudgetDecision& decision);

}  // namespace tollgate::inline v0
