/// The scripts that each new connection sends before its first batch, without keys, so that they do nothing: Redis then
/// has loaded them before they are needed, and its replies show whether this user may run scripts.
/// Thread safety: all of it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <span>

#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

/// A list without a lock, so that a forked child can read what its parent added.
class ScriptList {
 public:
  static constexpr std::size_t kMaxScripts = 16;

  /// Adds the scripts that are not in the list; those beyond the maximum are ignored, and loaded when first called.
  void add(std::span<const Script* const> scripts) noexcept;

  /// A call of each script without keys; empty when there are none. Throws std::bad_alloc.
  [[nodiscard]] CommandBatch batch() const;

 private:
  std::array<std::atomic<const Script*>, kMaxScripts> scripts_{};
};

class ScriptPreload final : public ReplyHandler {
 public:
  /// `scripts` must outlive this object.
  explicit ScriptPreload(const ScriptList& scripts) : scripts_(scripts) {}

  /// As ScriptList::batch(), sent at `now`.
  [[nodiscard]] CommandBatch batch(std::chrono::steady_clock::time_point now) {
    retry_at_.store(now + kRetryInterval, std::memory_order_relaxed);
    return scripts_.batch();
  }

  /// Reads the last connection's replies to batch().
  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override;

  /// Whether scripts were refused and should be tried again: at most once in kRetryInterval.
  [[nodiscard]] bool is_retry_due(std::chrono::steady_clock::time_point now) noexcept {
    return is_refused_.load(std::memory_order_relaxed) && now >= retry_at_.load(std::memory_order_relaxed);
  }
  static constexpr std::chrono::seconds kRetryInterval{1};

  /// Why scripts are refused (NOPERM, or EVAL is renamed or disabled); empty when they are not, or unknown.
  [[nodiscard]] Failure refusal() const;

 private:
  const ScriptList& scripts_;
  std::atomic<bool> is_refused_{false};
  std::atomic<std::chrono::steady_clock::time_point> retry_at_{};
  mutable std::mutex mutex_;  // guards refusal_
  Failure refusal_;
};

}  // namespace tollgate::inline v0
