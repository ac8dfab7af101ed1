/// The checks that arguments of both limiters share. Each throws std::invalid_argument that names the field, its value
/// and its range. Thread safety: plain functions.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace tollgate::inline v0::detail {

template <class... Arguments>
[[noreturn]] void reject(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw std::invalid_argument("tollgate: " + fmt::format(format, std::forward<Arguments>(arguments)...));
}

inline void check_number(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) reject("{} is {}; it must be {} … {}", field, value, low, high);
}

/// The message has the length alone: ids are user data, and secrets are secret.
inline void check_length(std::string_view field, std::string_view text, std::size_t low, std::size_t high) {
  if (text.size() < low || text.size() > high) {
    reject("{} is {} bytes long; it must be {} … {} bytes", field, text.size(), low, high);
  }
}

/// The fields that RateLimitConfig and BudgetConfig have in common, but for their prefixes.
template <class Config>
void check_common_fields(const Config& config) {
  constexpr std::int64_t kMaxDenyMemoryMs = 60'000;
  constexpr std::size_t kMinSecretBytes = 16;
  constexpr std::size_t kMaxSecretBytes = 512;
  using Policy = decltype(config.on_failure);
  if (config.on_failure > Policy::kLocalShare) {
    reject("on_failure is {}; it must be kThrow, kAllow, kDeny or kLocalShare", static_cast<int>(config.on_failure));
  }
  check_number("deny_memory (ms)", config.deny_memory.count(), 0, kMaxDenyMemoryMs);
  const std::size_t secret = config.token_secret.size();
  if (secret != 0 && (secret < kMinSecretBytes || secret > kMaxSecretBytes)) {
    reject("token_secret is {} bytes long; it must be 0 or {} … {} bytes", secret, kMinSecretBytes, kMaxSecretBytes);
  }
}

}  // namespace tollgate::inline v0::detail
