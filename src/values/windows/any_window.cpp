#include "values/windows/any_window.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "values/parse_integer.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {
namespace {

template <class T>
std::optional<AnyWindow> load_as(const WindowTerms& terms, std::optional<std::string_view> stored) {
  const auto as_any = [](auto window) { return window ? std::optional<AnyWindow>{*std::move(window)} : std::nullopt; };
  if constexpr (std::is_same_v<T, Leases>) {
    return as_any(T::load(terms, stored));
  } else {
    if (!stored) return as_any(T::load(terms, std::nullopt));
    const auto numbers = parse_numbers(*stored);
    if (!numbers || stored->find('-') != std::string_view::npos) return std::nullopt;
    return as_any(T::load(terms, std::span{*numbers}));
  }
}

std::optional<AnyWindow> load_kind(const WindowTerms& terms, std::optional<std::string_view> stored) {
  switch (terms.kind) {
    case Window::Kind::kTokenBucket: return load_as<TokenBucket>(terms, stored);
    case Window::Kind::kSliding: return load_as<SlidingCounter>(terms, stored);
    case Window::Kind::kConcurrent: return load_as<Leases>(terms, stored);
    case Window::Kind::kFixed:
    case Window::Kind::kUtcMonth: break;
  }
  return load_as<FixedCounter>(terms, stored);
}

/// What every state of these terms begins with: kind and length.
std::string beginning_of(const WindowTerms& terms) {
  return fmt::format("{} {} ", static_cast<int>(terms.kind), terms.length);
}

/// Whether it begins as a state does: a kind, a length, a digit.
bool is_state(std::string_view text) {
  const std::size_t space = text.find_first_not_of("0123456789", 2);
  return text.size() > 2 && text[0] >= '0' && text[0] <= '4' && text[1] == ' ' && space != std::string_view::npos &&
         space > 2 && space + 1 < text.size() && text[space] == ' ' && text[space + 1] >= '0' && text[space + 1] <= '9';
}

}  // namespace

std::optional<std::vector<std::int64_t>> parse_numbers(std::string_view text) {
  std::vector<std::int64_t> numbers;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(' ', start), text.size());
    const auto number = detail::parse_integer(text.substr(start, end - start));
    if (!number || *number > kLargest || *number < -kLargest) return std::nullopt;
    numbers.push_back(*number);
    start = end + 1;
  }
  return numbers;
}

std::optional<AnyWindow> load_window(const WindowTerms& terms, std::optional<std::string_view> text) {
  if (!text) return load_kind(terms, std::nullopt);
  const std::string beginning = beginning_of(terms);
  if (text->starts_with(beginning)) return load_kind(terms, text->substr(beginning.size()));
  return is_state(*text) ? load_kind(terms, std::nullopt) : std::nullopt;
}

std::string text_of(const WindowTerms& terms, const AnyWindow& window) {
  std::string text = beginning_of(terms);
  std::visit(
      [&text](const auto& any) {
        if constexpr (std::is_same_v<std::decay_t<decltype(any)>, Leases>) {
          any.store(text);
        } else {
          std::vector<std::int64_t> numbers;
          any.store(numbers);
          text += fmt::format("{}", fmt::join(numbers, " "));
        }
      },
      window);
  return text;
}

}  // namespace tollgate::inline v0::windows
