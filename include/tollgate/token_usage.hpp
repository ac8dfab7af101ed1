/// From the tokens that a model reports, by kind, to the cost of a limit that weighs the kinds differently.
/// Thread safety: plain values.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tollgate/rate_limit_config.hpp"

namespace tollgate::inline v0 {

/// The tokens of one request, each kind 0 … 2^53-1. The kinds do not overlap: cached input is not input too, and
/// reasoning is not output too.
struct TokenUsage {
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::int64_t cached = 0;     ///< input that was read from the provider's cache
  std::int64_t reasoning = 0;  ///< output that the caller does not see
};

/// What a token of each kind costs, per mille: 1000 = 1 each, which is the default; 0 = nothing. 0 … 100'000.
struct TokenWeights {
  static constexpr std::int64_t kLargest = 100'000;

  std::int64_t input = 1000;
  std::int64_t output = 1000;
  std::int64_t cached = 1000;
  std::int64_t reasoning = 1000;

  bool operator==(const TokenWeights&) const = default;
};

/// The sum of tokens times weight / 1000, rounded up once, so that a limit never counts too little; 2^53-1 when it is
/// more. Both arguments must be in their ranges.
[[nodiscard]] constexpr std::int64_t weighted_cost(const TokenUsage& usage, const TokenWeights& weights) noexcept {
  constexpr std::int64_t kPerMille = 1000;
  std::int64_t whole = 0;  // at most 4 * 2^53 / 1000 * 100'000 < 2^62
  std::int64_t rest = 0;   // per mille
  const auto add = [&](std::int64_t tokens, std::int64_t weight) {
    whole += tokens / kPerMille * weight;
    rest += tokens % kPerMille * weight;
  };
  add(usage.input, weights.input);
  add(usage.output, weights.output);
  add(usage.cached, weights.cached);
  add(usage.reasoning, weights.reasoning);
  return std::min(whole + (rest + kPerMille - 1) / kPerMille, kMaxTokens);
}

}  // namespace tollgate::inline v0
