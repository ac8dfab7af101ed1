/// The characters of a URL: percent-encoding, numbers, and the error of a malformed one.
/// Thread safety: plain functions.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace tollgate::inline v0::detail {

/// Throws std::invalid_argument. The arguments must be values that cannot be a secret: in a malformed URL any part may
/// be a password.
template <class... Arguments>
[[noreturn]] void reject_url(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw std::invalid_argument("tollgate: url " + fmt::format(format, std::forward<Arguments>(arguments)...));
}

[[nodiscard]] std::string to_lower(std::string_view text);

/// RFC 3986's unreserved characters: letters, digits and -._~
[[nodiscard]] bool is_unreserved(char character) noexcept;

/// Percent-decodes `text`. Rejects a % without two hex digits and a NUL byte; `part` names the text in the error.
[[nodiscard]] std::string decode_percent(std::string_view part, std::string_view text);

/// Percent-encodes all but unreserved characters and those in `plain`.
[[nodiscard]] std::string encode_percent(std::string_view text, std::string_view plain = "");

/// A decimal number, low … high; rejects everything else.
[[nodiscard]] std::int64_t url_number(std::string_view part, std::string_view text, std::int64_t low,
                                      std::int64_t high);

/// Splits `text` at the first of `separators`: returns the text before it and leaves the rest, separator first.
[[nodiscard]] std::string_view take_until(std::string_view& text, std::string_view separators) noexcept;

}  // namespace tollgate::inline v0::detail
