/// The DenyMemory of a limiter behind locks. 4096 users of at most 512 bytes: 3 MB at most.
/// Thread safety: all of it; a forked child starts with an empty memory.
#pragma once

#include <chrono>
#include <cstddef>

#include "decisions/decision_flow.hpp"
#include "decisions/deny_memory.hpp"
#include "decisions/window.hpp"
#include "doors/sharded.hpp"

namespace tollgate::inline v0 {

class LockedDenyMemory {
 public:
  using Memory = decisions::DenyMemory;
  using Time = Memory::Time;

  explicit LockedDenyMemory(std::chrono::milliseconds duration)
      : shards_([duration] {
          return Memory{duration, kUsersPerShard};
        }) {}

  /// The advice for a request with `uses_deny_memory`; stores the version in it for update().
  [[nodiscard]] Memory::Advice advise(decisions::PendingRequest& pending, Time now) {
    const Memory::User user{pending.request.user_id};
    return shards_.with(user.hash, [&](Memory& memory) {
      pending.memory_version = memory.version(user);
      return memory.advise(user, decisions::window_at(pending.request.now), pending.request.tokens, now);
    });
  }

  /// Applies pending.effects.memory_update. `asked_at`: when the request was sent. Does nothing when memory is short.
  void update(const decisions::PendingRequest& pending, Time asked_at) noexcept try {
    using MemoryUpdate = decisions::Effects::MemoryUpdate;
    const Memory::User user{pending.request.user_id};
    const auto window = decisions::window_at(pending.request.now);
    shards_.with(user.hash, [&](Memory& memory) {
      switch (pending.effects.memory_update) {
        case MemoryUpdate::kLeft:
          return memory.remember_left(user, window, pending.effects.left, asked_at, pending.memory_version);
        case MemoryUpdate::kDenied: return memory.remember_denied(user, window, pending.request.tokens);
        case MemoryUpdate::kAdmitted: return memory.remember_admitted(user, window, pending.request.tokens);
        case MemoryUpdate::kNothing: return;
      }
    });
  } catch (...) {  // a missing entry costs one round trip
  }

  /// As DenyMemory's functions of the same name.
  void forget_left(const Memory::User& user) {
    shards_.with(user.hash, [&](Memory& memory) { memory.forget_left(user); });
  }
  void forget(const Memory::User& user) {
    shards_.with(user.hash, [&](Memory& memory) { memory.forget(user); });
  }

 private:
  static constexpr std::size_t kUsersPerShard = 256;

  Sharded<Memory> shards_;
};

}  // namespace tollgate::inline v0
