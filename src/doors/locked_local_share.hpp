/// The LocalShare of a limiter behind locks, in shards as LockedDenyMemory: 16 times 4096 places of 16 bytes.
/// Thread safety: all of it; a forked child starts with a share of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "decisions/local_share.hpp"
#include "tollgate/detail/window_id.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

class LockedLocalShare {
 public:
  /// `tokens` per user and window
  explicit LockedLocalShare(std::int64_t tokens)
      : shards_([tokens](Shards*) { return std::make_unique<Shards>(tokens); }) {}

  void use(std::string_view user_id, detail::WindowId window, std::int64_t tokens) {
    Shard& shard = shard_of(user_id);
    const std::lock_guard lock{shard.mutex};
    shard.share->use(user_id, window, tokens);
  }

  [[nodiscard]] bool grant(std::string_view user_id, detail::WindowId window, std::int64_t tokens) {
    Shard& shard = shard_of(user_id);
    const std::lock_guard lock{shard.mutex};
    return shard.share->grant(user_id, window, tokens);
  }

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kPlacesPerShard = 4096;

  struct Shard {
    std::mutex mutex;
    std::optional<decisions::LocalShare> share;
  };
  struct Shards {
    explicit Shards(std::int64_t tokens) {
      for (Shard& shard : all) shard.share.emplace(tokens, kPlacesPerShard);
    }
    std::array<Shard, kShards> all;
  };

  // Not the bits of the hash that LocalShare uses, as in LockedDenyMemory.
  Shard& shard_of(std::string_view user_id) {
    const std::size_t hash = std::hash<std::string_view>{}(user_id);
    return shards_.get().all[(hash >> (4 * sizeof hash)) % kShards];
  }

  detail::ForkLocal<Shards> shards_;
};

}  // namespace tollgate::inline v0
