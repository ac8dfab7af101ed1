/// A window of any kind, and the text that is stored of it: kind, length, then the numbers of the kind, all decimal and
/// separated by single spaces.
/// Thread safety: that of any value; plain functions.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "values/windows/fixed_counter.hpp"
#include "values/windows/leases.hpp"
#include "values/windows/sliding_counter.hpp"
#include "values/windows/token_bucket.hpp"
#include "values/windows/window_terms.hpp"

namespace tollgate::inline v0::windows {

using AnyWindow = std::variant<FixedCounter, TokenBucket, SlidingCounter, Leases>;

/// The window of these terms, from its stored text or, without one, with nothing used. A text of another kind or length
/// counts nothing. Nothing where the text is damaged.
[[nodiscard]] std::optional<AnyWindow> load_window(const WindowTerms& terms, std::optional<std::string_view> text);

[[nodiscard]] std::string text_of(const WindowTerms& terms, const AnyWindow& window);

/// Decimal integers of at most 2^53-1 in absolute value, separated by single spaces; nothing where there is anything
/// else.
[[nodiscard]] std::optional<std::vector<std::int64_t>> parse_numbers(std::string_view text);

}  // namespace tollgate::inline v0::windows
