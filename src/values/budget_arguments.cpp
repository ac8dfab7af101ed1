#include "values/budget_arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tollgate/budget_config.hpp"
#include "tollgate/call_options.hpp"
#include "values/argument_checks.hpp"
#include "values/arguments.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0::detail {
namespace {

constexpr std::size_t kMaxLimits = 64;
constexpr int kAllOfMax = 100;  // percent

bool may_be_in_a_name(char character) {
  const bool is_letter = (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z');
  const bool is_digit = character >= '0' && character <= '9';
  return is_letter || is_digit || character == '_' || character == '.' || character == '-';
}

void check_name(const std::string& field, const std::string& name) {
  const bool is_long = name.size() > kMaxLimitNameBytes;
  if (name.empty() || is_long || name == "max" || !std::all_of(name.begin(), name.end(), may_be_in_a_name)) {
    reject("{} is {}; it must be 1 … {} bytes of [A-Za-z0-9_.-], and not \"max\"", field, printable(name),
           kMaxLimitNameBytes);
  }
}

void check_weights(const std::string& field, const TokenWeights& weights) {
  check_number(field + ".input", weights.input, 0, TokenWeights::kLargest);
  check_number(field + ".output", weights.output, 0, TokenWeights::kLargest);
  check_number(field + ".cached", weights.cached, 0, TokenWeights::kLargest);
  check_number(field + ".reasoning", weights.reasoning, 0, TokenWeights::kLargest);
}

std::int64_t largest_max(const Limit& limit) {
  return limit.window.kind() == Window::Kind::kConcurrent ? Window::kMaxSlots : kMaxTokens;
}

}  // namespace

void check_config(const BudgetConfig& config) {
  if (config.limits.empty() || config.limits.size() > kMaxLimits) {
    reject("limits has {} entries; it must have 1 … {}", config.limits.size(), kMaxLimits);
  }
  for (std::size_t i = 0; i < config.limits.size(); ++i) {
    const Limit& limit = config.limits[i];
    const std::string field = fmt::format("limits[{}]", i);
    check_name(field + ".name", limit.name);
    for (std::size_t earlier = 0; earlier < i; ++earlier) {
      if (config.limits[earlier].name != limit.name) continue;
      reject("{}.name is \"{}\", as limits[{}].name; names must be unique", field, limit.name, earlier);
    }
    check_number(field + ".max", limit.max, 0, largest_max(limit));
    if (!limit.window.is_valid()) {
      reject("{}.window is {} s long; it must be 1 s … 366 days", field, limit.window.length().count());
    }
    check_number(field + ".warn_at_percent", limit.warn_at_percent, 0, kAllOfMax);
    check_weights(field + ".weights", limit.weights);
    check_number(field + ".local_share", limit.local_share.value_or(0), 0, limit.max);
  }
  check_length("key_prefix", config.key_prefix, 0, kMaxKeyPrefixBytes);
  if (config.key_prefix.find_first_of("{}") != std::string::npos) {
    reject("key_prefix is {}; it must hold no brace, because the subject between braces is the key's hash tag",
           printable(config.key_prefix));
  }
  check_common_fields(config);
}

void check_usage(const TokenUsage& usage) {
  check_number("usage.input", usage.input, 0, kMaxTokens);
  check_number("usage.output", usage.output, 0, kMaxTokens);
  check_number("usage.cached", usage.cached, 0, kMaxTokens);
  check_number("usage.reasoning", usage.reasoning, 0, kMaxTokens);
}

void check_budget_options(const CallOptions& options) {
  if (options.operation_id) check_length("operation_id", *options.operation_id, 1, kMaxOperationIdBytes);
}

void check_budget_options_of_many(const CallOptions& options) {
  if (options.operation_id) reject("operation_id is set, but consume_all is as many operations as requests");
}

}  // namespace tollgate::inline v0::detail
