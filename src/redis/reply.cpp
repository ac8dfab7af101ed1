#include "tollgate/redis/reply.hpp"

#include <charconv>

namespace tollgate::inline v0 {

std::optional<std::int64_t> Reply::to_integer() const noexcept {
  if (kind_ == Kind::kInteger) return integer_;
  if (kind_ != Kind::kString) return std::nullopt;
  std::int64_t value = 0;
  const char* const end = text_.data() + text_.size();
  const auto [stopped, error] = std::from_chars(text_.data(), end, value);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return value;
}

}  // namespace tollgate::inline v0
