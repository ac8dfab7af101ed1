/// The DenyMemory of a limiter behind locks, in shards, so that threads asking for different users do not wait for each
/// other. 4096 users of at most 512 bytes: 3 MB at most.
/// Thread safety: all of it; a forked child starts with an empty memory.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "decisions/decision_flow.hpp"
#include "decisions/deny_memory.hpp"
#include "decisions/window.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

class LockedDenyMemory {
 public:
  using Time = decisions::DenyMemory::Time;

  explicit LockedDenyMemory(std::chrono::milliseconds duration)
      : shards_([duration](Shards*) { return std::make_unique<Shards>(duration); }) {}

  /// The advice for a request with `uses_deny_memory`; stores the version in it for update().
  [[nodiscard]] decisions::DenyMemory::Advice advise(decisions::PendingRequest& pending, Time now) {
    const decisions::DenyMemory::User user{pending.request.user_id};
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    pending.memory_version = shard.memory->version(user);
    return shard.memory->advise(user, decisions::window_at(pending.request.now), pending.request.tokens, now);
  }

  /// Applies pending.effects.memory_update. `asked_at`: when the request was sent. Does nothing when memory is short.
  void update(const decisions::PendingRequest& pending, Time asked_at) noexcept try {
    using MemoryUpdate = decisions::Effects::MemoryUpdate;
    const decisions::DenyMemory::User user{pending.request.user_id};
    const auto window = decisions::window_at(pending.request.now);
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    switch (pending.effects.memory_update) {
      case MemoryUpdate::kLeft:
        return shard.memory->remember_left(user, window, pending.effects.left, asked_at, pending.memory_version);
      case MemoryUpdate::kDenied: return shard.memory->remember_denied(user, window, pending.request.tokens);
      case MemoryUpdate::kAdmitted: return shard.memory->remember_admitted(user, window, pending.request.tokens);
      case MemoryUpdate::kNothing: return;
    }
  } catch (...) {  // a missing entry costs one round trip
  }

  /// As DenyMemory's functions of the same name.
  void forget_left(const decisions::DenyMemory::User& user) {
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    shard.memory->forget_left(user);
  }
  void forget(const decisions::DenyMemory::User& user) {
    Shard& shard = shard_of(user);
    const std::lock_guard lock{shard.mutex};
    shard.memory->forget(user);
  }

 private:
  static constexpr std::size_t kShards = 16;
  static constexpr std::size_t kUsersPerShard = 256;

  struct Shard {
    std::mutex mutex;
    std::optional<decisions::DenyMemory> memory;
  };
  struct Shards {
    explicit Shards(std::chrono::milliseconds duration) {
      for (Shard& shard : all) shard.memory.emplace(duration, kUsersPerShard);
    }
    std::array<Shard, kShards> all;
  };

  // Not the bits of the hash that DenyMemory uses, or each shard would use one entry in sixteen.
  Shard& shard_of(const decisions::DenyMemory::User& user) {
    return shards_.get().all[(user.hash >> (4 * sizeof user.hash)) % kShards];
  }

  detail::ForkLocal<Shards> shards_;
};

}  // namespace tollgate::inline v0
