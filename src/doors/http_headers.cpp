#include "tollgate/http_headers.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "doors/header_dialects.hpp"
#include "values/arguments.hpp"
#include "values/structured_field.hpp"

namespace tollgate::inline v0 {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxPolicyBytes = 64;
constexpr std::size_t kMinSecretBytes = 16;
constexpr std::size_t kMaxSecretBytes = 512;
constexpr milliseconds kMaxJitter{3'600'000};

/// The SDKs of OpenAI and Anthropic ignore longer delays; openai-python accepts 120 s since 2026.
constexpr milliseconds kLongestDelayOfSdks{60'000};

void check_policy(std::string_view policy) {
  if (policy.empty() || policy.size() > kMaxPolicyBytes || !is_printable_ascii(policy)) {
    throw std::invalid_argument(fmt::format("tollgate: policy is {}; it must be 1 … {} bytes of printable ASCII",
                                            detail::printable(policy), kMaxPolicyBytes));
  }
}

void check(const HeaderOptions& options) {
  check_policy(options.policy);
  const std::size_t secret_bytes = options.partition_secret.size();
  if (secret_bytes != 0 && (secret_bytes < kMinSecretBytes || secret_bytes > kMaxSecretBytes)) {
    throw std::invalid_argument(
        fmt::format("tollgate: partition_secret is {} bytes long; it must be 0 or {} … {} bytes", secret_bytes,
                    kMinSecretBytes, kMaxSecretBytes));
  }
  if (options.max_jitter < milliseconds{0} || options.max_jitter > kMaxJitter) {
    throw std::invalid_argument(fmt::format("tollgate: max_jitter (ms) is {}; it must be 0 … {}",
                                            options.max_jitter.count(), kMaxJitter.count()));
  }
}

/// From the kernel at each call: a generator of ours would repeat itself in forked processes.
std::uint64_t random_bits() {
  std::uint64_t bits = 0;
  if (getentropy(&bits, sizeof bits) != 0) {
    throw std::system_error(errno, std::generic_category(), "tollgate: getentropy");
  }
  return bits;
}

/// `retry_after` plus jitter, which does not take a delay that the dialect's SDKs accept past the longest one.
milliseconds with_jitter(milliseconds retry_after, HeaderDialect dialect, const HeaderOptions& options) {
  milliseconds most = options.max_jitter;
  if (dialect != HeaderDialect::kIetf && retry_after <= kLongestDelayOfSdks) {
    most = std::min(most, kLongestDelayOfSdks - retry_after);
  }
  const std::uint64_t bits = options.random ? options.random() : random_bits();
  return retry_after + milliseconds{bits % (static_cast<std::uint64_t>(most.count()) + 1)};
}

template <class AnyDecision>
bool never_fits(const AnyDecision& decision) {
  return !decision.allowed && !decision.retry_after && !decision.failure;
}

DecisionView view(const Decision& decision, const HeaderOptions& options, std::string_view user_id) {
  DecisionView view;
  view.limits.push_back({.name = options.policy,
                         .max = decision.limit,
                         .remaining = decision.remaining,
                         .reset_after = decision.reset_after,
                         .window = std::chrono::minutes{1},
                         .refuses = !decision.allowed && !decision.failure,
                         .subject = user_id});
  return view;
}

LimitUnit unit_of(const LimitState& state, const HeaderOptions& options) {
  const auto is_in = [&state](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), state.limit) != names.end();
  };
  if (state.window.kind() == Window::Kind::kConcurrent) return LimitUnit::kConcurrentRequests;
  if (is_in(options.request_limits)) return LimitUnit::kRequests;
  return is_in(options.token_limits) ? LimitUnit::kTokens : LimitUnit::kOther;
}

/// Nothing for a month, which has no fixed length, and for what counts while it runs.
std::optional<std::chrono::seconds> length_of(const Window& window) {
  const bool has_length = window.kind() != Window::Kind::kUtcMonth && window.kind() != Window::Kind::kConcurrent;
  return has_length ? std::optional{window.length()} : std::nullopt;
}

DecisionView view(const BudgetDecision& decision, const HeaderOptions& options, std::span<const Charge> charges) {
  DecisionView view;
  for (std::size_t i = 0; i < decision.states.size(); ++i) {
    const LimitState& state = decision.states[i];
    if (state.limit.empty() || state.would_refuse) continue;
    view.limits.push_back({.name = state.limit,
                           .unit = unit_of(state, options),
                           .max = state.max,
                           .remaining = state.remaining,
                           .reset_after = state.reset_after,
                           .usable_after = state.refuses ? state.retry_after : std::nullopt,
                           .window = length_of(state.window),
                           .refuses = state.refuses,
                           .subject = charges.empty() ? std::string_view{} : charges[i].subject});
  }
  return view;
}

template <class AnyDecision, class Subjects>
std::vector<HttpHeader> headers(const AnyDecision& decision, HeaderDialect dialect, const HeaderOptions& options,
                                const Subjects& subjects) {
  check(options);
  DecisionView shown = view(decision, options, subjects);
  shown.never_fits = never_fits(decision);
  if (decision.retry_after) shown.retry_after = with_jitter(*decision.retry_after, dialect, options);
  switch (dialect) {
    case HeaderDialect::kIetf: return ietf_headers(shown, options.partition_secret);
    case HeaderDialect::kOpenAi: return openai_headers(shown);
    case HeaderDialect::kAnthropic:
      return anthropic_headers(shown, (options.clock ? options.clock : system_clock())->now());
  }
  throw std::invalid_argument(
      fmt::format("tollgate: dialect is {}; it must be kIetf, kOpenAi or kAnthropic", static_cast<int>(dialect)));
}

template <class AnyDecision, class Subjects>
HttpProblem problem_of(const AnyDecision& decision, const HeaderOptions& options, const Subjects& subjects) {
  if (decision.allowed) {
    throw std::invalid_argument("tollgate: decision is allowed; a problem is made of one that denies");
  }
  check_policy(options.policy);
  return decision.failure ? reduced_capacity() : quota_exceeded(view(decision, options, subjects));
}

}  // namespace

std::vector<HttpHeader> rate_limit_headers(const Decision& decision, HeaderDialect dialect,
                                           const HeaderOptions& options, std::string_view user_id) {
  return headers(decision, dialect, options, user_id);
}

std::vector<HttpHeader> rate_limit_headers(const BudgetDecision& decision, HeaderDialect dialect,
                                           const HeaderOptions& options, std::span<const Charge> charges) {
  if (decision.states.empty()) charges = {};  // an argument was refused, or memory was short
  if (!charges.empty() && charges.size() != decision.states.size()) {
    throw std::invalid_argument(
        fmt::format("tollgate: charges has {} elements; it must have none or the {} of the decision", charges.size(),
                    decision.states.size()));
  }
  return headers(decision, dialect, options, charges);
}

HttpProblem rate_limit_problem(const Decision& decision, const HeaderOptions& options) {
  return problem_of(decision, options, std::string_view{});
}

HttpProblem rate_limit_problem(const BudgetDecision& decision) {
  return problem_of(decision, HeaderOptions{}, std::span<const Charge>{});
}

}  // namespace tollgate::inline v0
