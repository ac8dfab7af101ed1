/// A memory of a limiter in shards, each behind a lock of its own, so that threads asking for different users do not
/// wait for each other. Thread safety: all of it; a forked child starts with new shards.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

template <class Memory>
class Sharded {
 public:
  /// `make` makes one shard.
  explicit Sharded(std::function<Memory()> make)
      : shards_([make = std::move(make)](Shards*) { return std::make_unique<Shards>(make); }) {}

  /// Calls `use(memory)` on the shard of a hash, which is locked meanwhile, and returns its result. A forked child
  /// makes its shards at its first call, which may throw std::bad_alloc.
  template <class Use>
  auto with(std::size_t hash, Use use) {
    // Not the bits of the hash by which a memory finds its entry, or each shard would use one entry in sixteen.
    Shard& shard = shards_.get().all[(hash >> (4 * sizeof hash)) % kShards];
    const std::lock_guard lock{shard.mutex};
    return use(*shard.memory);
  }

 private:
  static constexpr std::size_t kShards = 16;

  struct Shard {
    std::mutex mutex;
    std::optional<Memory> memory;
  };
  struct Shards {
    explicit Shards(const std::function<Memory()>& make) {
      for (Shard& shard : all) shard.memory.emplace(make());
    }
    std::array<Shard, kShards> all;
  };

  detail::ForkLocal<Shards> shards_;
};

}  // namespace tollgate::inline v0
