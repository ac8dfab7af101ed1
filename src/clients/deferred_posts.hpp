/// Posts that are sent at a later time, because Redis refused them temporarily (out of memory).
/// Thread safety: all of it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

class DeferredPosts {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Post {
    Time not_before;
    CommandBatch batch;
    std::shared_ptr<ReplyHandler> handler;
  };

  static constexpr std::size_t kMaxPosts = 4096;

  /// False when kMaxPosts are stored; then `post` is unchanged. Throws std::bad_alloc.
  [[nodiscard]] bool add(Post& post) {
    const std::lock_guard lock{mutex_};
    if (posts_.size() >= kMaxPosts) return false;
    posts_.push_back(std::move(post));
    return true;
  }

  /// Removes and returns a post that is due at `now`; nothing when none is.
  [[nodiscard]] std::optional<Post> take_due(Time now) {
    const std::lock_guard lock{mutex_};
    const auto due = std::find_if(posts_.begin(), posts_.end(), [now](const Post& p) { return p.not_before <= now; });
    if (due == posts_.end()) return std::nullopt;
    std::optional<Post> taken{std::move(*due)};
    posts_.erase(due);
    return taken;
  }

  /// When the next post is due; nothing when there is none.
  [[nodiscard]] std::optional<Time> next_due() const {
    const std::lock_guard lock{mutex_};
    if (posts_.empty()) return std::nullopt;
    const auto earlier = [](const Post& a, const Post& b) { return a.not_before < b.not_before; };
    return std::min_element(posts_.begin(), posts_.end(), earlier)->not_before;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Post> posts_;
};

}  // namespace tollgate::inline v0
