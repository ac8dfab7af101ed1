/// The tokens that one process may grant by itself while Redis gives no usable reply: a share of each user's budget per
/// window, less what it has used of that budget in the same window. So all processes together exceed a limit by at most
/// their number times the share (once more for each time that a clock is set back into an earlier window).
///
/// Memory is bounded for any number of ids: users are counted in a fixed number of entries, and users with the same
/// entry have one share together. So no user is granted more than the share, and with very many users a few are granted
/// less.
///
/// Pure: the window is passed in. Thread safety: none; the limiter puts a lock around it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "tollgate/detail/window_id.hpp"
#include "tollgate/rate_limit_config.hpp"

namespace tollgate::inline v0::decisions {

using detail::WindowId;

class LocalShare {
 public:
  /// `tokens` per user and window, 0 … kMaxTokens; `places`: 1 or more.
  LocalShare(std::int64_t tokens, std::size_t places) : tokens_(tokens), places_(places) {}

  /// Counts `tokens` that were charged in Redis.
  void use(std::string_view user_id, WindowId window, std::int64_t tokens) {
    std::int64_t& used = used_in(user_id, window);
    used = std::min(used + tokens, kMaxTokens);
  }

  /// Whether `tokens` fit into what is left of the share; then they are taken from it.
  [[nodiscard]] bool grant(std::string_view user_id, WindowId window, std::int64_t tokens) {
    const bool fits = tokens <= tokens_ - used_in(user_id, window);
    if (fits) use(user_id, window, tokens);
    return fits;
  }

  /// Takes back a grant, unless its window has been replaced by another.
  void give_back(std::string_view user_id, WindowId window, std::int64_t tokens) {
    Place& place = place_of(user_id);
    if (place.window == window) place.used = std::max<std::int64_t>(place.used - tokens, 0);
  }

 private:
  struct Place {
    WindowId window;
    std::int64_t used = 0;
  };

  Place& place_of(std::string_view user_id) { return places_[std::hash<std::string_view>{}(user_id) % places_.size()]; }

  std::int64_t& used_in(std::string_view user_id, WindowId window) {
    Place& place = place_of(user_id);
    if (place.window != window) place = {window, 0};
    return place.used;
  }

  std::int64_t tokens_;
  std::vector<Place> places_;
};

}  // namespace tollgate::inline v0::decisions
