#include "values/arguments.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "tollgate/call_options.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0::detail {
namespace {

constexpr std::chrono::milliseconds kMaxDenyMemory{60'000};
constexpr std::size_t kMinSecretBytes = 16;
constexpr std::size_t kMaxSecretBytes = 512;

template <class... Arguments>
[[noreturn]] void reject(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw std::invalid_argument("tollgate: " + fmt::format(format, std::forward<Arguments>(arguments)...));
}

void check_number(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) reject("{} is {}; it must be {} … {}", field, value, low, high);
}

/// The message has the length alone: ids are user data.
void check_length(std::string_view field, std::string_view text, std::size_t low, std::size_t high) {
  if (text.size() < low || text.size() > high) {
    reject("{} is {} bytes long; it must be {} … {} bytes", field, text.size(), low, high);
  }
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kShown = 40;
  std::string out = "\"";
  for (const char character : text.substr(0, kShown)) {
    const bool plain = character >= ' ' && character <= '~' && character != '"' && character != '\\';
    out += plain ? std::string(1, character) : fmt::format("\\x{:02x}", static_cast<unsigned char>(character));
  }
  return out + (text.size() > kShown ? "…\"" : "\"");
}

void check_config(const RateLimitConfig& config) {
  check_number("max_tokens_per_minute", config.max_tokens_per_minute, 1, kMaxTokens);
  check_length("key_prefix", config.key_prefix, 0, kMaxKeyPrefixBytes);
  if (config.admission != Admission::kPipelined && config.admission != Admission::kAtomic) {
    reject("admission is {}; it must be kPipelined or kAtomic", static_cast<int>(config.admission));
  }
  if (config.on_failure > FailurePolicy::kLocalShare) {
    reject("on_failure is {}; it must be kThrow, kAllow, kDeny or kLocalShare", static_cast<int>(config.on_failure));
  }
  check_number("local_share", config.local_share.value_or(0), 0, config.max_tokens_per_minute);
  check_number("deny_memory (ms)", config.deny_memory.count(), 0, kMaxDenyMemory.count());
  if (!config.token_secret.empty() &&
      (config.token_secret.size() < kMinSecretBytes || config.token_secret.size() > kMaxSecretBytes)) {
    reject("token_secret is {} bytes long; it must be 0 or {} … {} bytes", config.token_secret.size(), kMinSecretBytes,
           kMaxSecretBytes);
  }
}

void check_user_id(std::string_view user_id) { check_length("user_id", user_id, 1, kMaxUserIdBytes); }

void check_tokens(std::string_view field, std::int64_t tokens) { check_number(field, tokens, 0, kMaxTokens); }

void check_options(const CallOptions& options, const RateLimitConfig& config) {
  if (!options.operation_id) return;
  check_length("operation_id", *options.operation_id, 1, kMaxOperationIdBytes);
  if (config.admission != Admission::kAtomic) {
    reject("operation_id is set, but needs admission kAtomic");
  }
}

bool is_valid(const ConsumeRequest& request) noexcept {
  return !request.user_id.empty() && request.user_id.size() <= kMaxUserIdBytes && request.tokens >= 0 &&
         request.tokens <= kMaxTokens;
}

void check_options_of_many(const CallOptions& options) {
  if (options.operation_id) {
    reject("operation_id is set, but consume_all is as many operations as requests");
  }
}

}  // namespace tollgate::inline v0::detail
