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

DecisionView view(const Decision& decision, const HeaderOptions& options, std::string_view user_id) {
  DecisionView view;
  view.never_fits = !decision.allowed && !decision.retry_after && !decision.failure;
  view.limits.push_back({.name = options.policy,
                         .max = decision.limit,
                         .remaining = decision.remaining,
                         .reset_after = decision.reset_after,
                         .window = std::chrono::minutes{1},
                         .refuses = !decision.allowed && !decision.failure,
                         .subject = user_id});
  return view;
}

}  // namespace

std::vector<HttpHeader> rate_limit_headers(const Decision& decision, HeaderDialect dialect,
                                           const HeaderOptions& options, std::string_view user_id) {
  check(options);
  DecisionView shown = view(decision, options, user_id);
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

HttpProblem rate_limit_problem(const Decision& decision, const HeaderOptions& options) {
  if (decision.allowed) {
    throw std::invalid_argument("tollgate: decision is allowed; a problem is made of one that denies");
  }
  check_policy(options.policy);
  return decision.failure ? reduced_capacity() : quota_exceeded(view(decision, options, {}));
}

}  // namespace tollgate::inline v0
