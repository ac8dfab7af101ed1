#include "values/windows/any_window.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "values/parse_integer.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0::windows {
namespace {

template <class T>
std::optional<AnyWindow> load_as(const WindowTerms& terms, const StoredNumbers& stored) {
  auto window = T::load(terms, stored);
  if (!window) return std::nullopt;
  return AnyWindow{*std::move(window)};
}

std::optional<AnyWindow> load_numbers(const WindowTerms& terms, const StoredNumbers& stored) {
  switch (terms.kind) {
    case Window::Kind::kTokenBucket: return load_as<TokenBucket>(terms, stored);
    case Window::Kind::kSliding: return load_as<SlidingCounter>(terms, stored);
    case Window::Kind::kConcurrent: return load_as<Leases>(terms, stored);
    case Window::Kind::kFixed:
    case Window::Kind::kUtcMonth: break;
  }
  return load_as<FixedCounter>(terms, stored);
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
  if (!text) return load_numbers(terms, std::nullopt);
  const auto numbers = parse_numbers(*text);
  if (!numbers || numbers->size() < 2 || text->find('-') != std::string_view::npos) return std::nullopt;
  if ((*numbers)[0] != static_cast<std::int64_t>(terms.kind) || (*numbers)[1] != terms.length) {
    return load_numbers(terms, std::nullopt);
  }
  return load_numbers(terms, std::span{*numbers}.subspan(2));
}

std::string text_of(const WindowTerms& terms, const AnyWindow& window) {
  std::vector<std::int64_t> numbers{static_cast<std::int64_t>(terms.kind), terms.length};
  std::visit([&](const auto& any) { any.store(numbers); }, window);
  return fmt::format("{}", fmt::join(numbers, " "));
}

}  // namespace tollgate::inline v0::windows
