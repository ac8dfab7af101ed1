#include "clients/redirection.hpp"

#include <charconv>
#include <optional>

#include "values/hash_slot.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0 {
namespace {

std::optional<std::uint16_t> number_of(std::string_view text, unsigned first, unsigned last) noexcept {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (number < first || number > last) return std::nullopt;
  return static_cast<std::uint16_t>(number);
}

/// `<slot> <host>:<port>`; an IPv6 address has no brackets, so the last colon counts.
Redirection read_target(Redirection::Kind kind, std::string_view text) noexcept {
  const std::size_t space = text.find(' ');
  const std::size_t colon = text.rfind(':');
  if (space == std::string_view::npos || colon == std::string_view::npos || colon < space) return {};
  const auto slot = number_of(text.substr(0, space), 0, kHashSlots - 1);
  const auto port = number_of(text.substr(colon + 1), 1, 65535);
  const std::string_view host = text.substr(space + 1, colon - space - 1);
  if (!slot || !port || host.size() > kMaxHostBytes) return {};
  return {kind, *slot, host, *port};
}

}  // namespace

Redirection redirection_in(std::string_view error) noexcept {
  constexpr std::string_view kMoved = "MOVED ";
  constexpr std::string_view kAsk = "ASK ";
  if (error.starts_with(kMoved)) return read_target(Redirection::Kind::kMoved, error.substr(kMoved.size()));
  if (error.starts_with(kAsk)) return read_target(Redirection::Kind::kAsk, error.substr(kAsk.size()));
  const bool waits =
      error.starts_with("TRYAGAIN ") || error.starts_with("CLUSTERDOWN ") || error.starts_with("READONLY ");
  return {waits ? Redirection::Kind::kWait : Redirection::Kind::kNone};
}

}  // namespace tollgate::inline v0
