/// The LocalShare of a limiter behind locks: 16 times `places` of 16 bytes.
/// Thread safety: all of it; a forked child starts with a share of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "decisions/local_share.hpp"
#include "doors/sharded.hpp"
#include "tollgate/detail/window_id.hpp"

namespace tollgate::inline v0 {

class LockedLocalShare {
 public:
  using Share = decisions::LocalShare;

  static constexpr std::size_t kPlacesPerShard = 4096;

  /// `tokens` per user and window
  explicit LockedLocalShare(std::int64_t tokens, std::size_t places = kPlacesPerShard)
      : shards_([=] {
          return Share{tokens, places};
        }) {}

  void use(std::string_view user_id, detail::WindowId window, std::int64_t tokens) {
    shards_.with(hash_of(user_id), [&](Share& share) { share.use(user_id, window, tokens); });
  }

  [[nodiscard]] bool grant(std::string_view user_id, detail::WindowId window, std::int64_t tokens) {
    return shards_.with(hash_of(user_id), [&](Share& share) { return share.grant(user_id, window, tokens); });
  }

  /// Takes back a grant.
  void give_back(std::string_view user_id, detail::WindowId window, std::int64_t tokens) {
    shards_.with(hash_of(user_id), [&](Share& share) { share.give_back(user_id, window, tokens); });
  }

 private:
  [[nodiscard]] static std::size_t hash_of(std::string_view user_id) noexcept {
    return std::hash<std::string_view>{}(user_id);
  }

  Sharded<Share> shards_;
};

}  // namespace tollgate::inline v0
