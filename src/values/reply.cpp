#include "tollgate/values/reply.hpp"

#include "values/parse_integer.hpp"

namespace tollgate::inline v0 {

std::optional<std::int64_t> Reply::to_integer() const noexcept {
  if (kind_ == Kind::kInteger) return integer_;
  if (kind_ != Kind::kString) return std::nullopt;
  return detail::parse_integer(text_);
}

}  // namespace tollgate::inline v0
