/// Checks of arguments. Each throws std::invalid_argument that names the field, its value (shortened and printable) and
/// its range.
/// Thread safety: plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tollgate::inline v0 {

struct CallOptions;
struct ConsumeRequest;
struct RateLimitConfig;

namespace detail {

void check_config(const RateLimitConfig& config);
void check_user_id(std::string_view user_id);
/// 0 … kMaxTokens
void check_tokens(std::string_view field, std::int64_t tokens);
void check_options(const CallOptions& options, const RateLimitConfig& config);

/// Whether the checks of user id and tokens would pass.
[[nodiscard]] bool is_valid(const ConsumeRequest& request) noexcept;
/// The options of a call with many operations: operation_id must be empty.
void check_options_of_many(const CallOptions& options);

/// At most 40 bytes of `text`, in quotes, with everything unprintable as `\xNN`.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace detail
}  // namespace tollgate::inline v0
