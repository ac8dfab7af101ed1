/// A reservation as text, for another process: `tg2.<fields in hex>.<tag in hex>`, see doors/signed_text.hpp, under
/// RateLimitConfig::token_secret.
/// Thread safety: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tollgate/detail/window_id.hpp"
#include "tollgate/rate_limit_config.hpp"

namespace tollgate::inline v0 {

struct ReservationToken {
  std::string user_id;
  std::string id;                 ///< the operation id of the settlement, which is executed once
  detail::WindowId first_window;  ///< charged first
  detail::WindowId window;        ///< charged last, with `held`
  std::int64_t held = 0;
  std::int64_t earlier = 0;

  [[nodiscard]] std::string encode(const RateLimitConfig& config) const;

  /// Throws std::invalid_argument with the error in the token.
  [[nodiscard]] static ReservationToken decode(std::string_view token, const RateLimitConfig& config);
};

}  // namespace tollgate::inline v0
