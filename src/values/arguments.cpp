#include "values/arguments.hpp"

#include <fmt/format.h>

#include "tollgate/call_options.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "values/argument_checks.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0::detail {
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
  check_number("local_share", config.local_share.value_or(0), 0, config.max_tokens_per_minute);
  check_common_fields(config);
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
