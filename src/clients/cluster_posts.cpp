// Cluster's posts.
#include <algorithm>
#include <new>
#include <utility>

#include "clients/asking.hpp"
#include "clients/cluster.hpp"
#include "clients/redirection.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Then the errors are its outcome; the caller's handler may post it again.
constexpr int kMostAttempts = 12;

std::chrono::milliseconds pause_after(int attempts) noexcept {
  constexpr std::chrono::milliseconds kFirst{10};
  constexpr std::chrono::milliseconds kLongest{1000};
  return std::min(kLongest, kFirst * (1 << std::min(attempts, 7)));
}

}  // namespace

/// The handler of a post that is on its way: follows redirections, then calls the handler of the caller.
class Cluster::RoutedPost final : public ReplyHandler, public std::enable_shared_from_this<RoutedPost> {
 public:
  RoutedPost(Cluster& cluster, std::shared_ptr<ReplyHandler> handler, int attempts)
      : cluster_(cluster), handler_(std::move(handler)), attempts_(attempts) {
    cluster_.posts_.fetch_add(1, std::memory_order_acq_rel);
  }
  RoutedPost(const RoutedPost&) = delete;
  RoutedPost& operator=(const RoutedPost&) = delete;
  ~RoutedPost() override { cluster_.posts_.fetch_sub(1, std::memory_order_acq_rel); }

  /// Set before the post is sent there.
  void sent_to(Member& member) noexcept { member_.store(&member, std::memory_order_release); }

  /// For a part of this post's batch, or its next attempt.
  [[nodiscard]] std::shared_ptr<RoutedPost> next(int further_attempts) const {
    return cluster_.make_post(handler_, attempts_ + further_attempts);
  }

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override {
    try {
      if (is_asked(batch)) {
        take(client, without_asking(batch), without_asking(BatchResult{result}));
      } else {
        take(client, batch, result);
      }
    } catch (const std::bad_alloc&) {
      end(client, batch, {{}, detail::failure(Errc::kOverloaded, false, "out of memory")});
    }
  }

  void end(RedisClient& client, const CommandBatch& batch, const BatchResult& result) const noexcept {
    if (handler_) handler_->handle(client, batch, result);
  }

 private:
  void take(RedisClient& client, const CommandBatch& batch, const BatchResult& result) {
    const bool is_closing = cluster_.is_closing_.load(std::memory_order_acquire);
    if (result.failure.code == Errc::kMoved && !is_closing) return cluster_.route(CommandBatch{batch}, next(0));
    const bool redirected = result.ok() && any_redirection(result.replies);
    if (!result.ok() || redirected) cluster_.request_refresh();
    if (!redirected || attempts_ >= kMostAttempts || is_closing) {
      return end(client, batch, result);
    }
    follow(client, batch, result);
  }

  /// Ends the commands that have their outcome, and sends the others on.
  void follow(RedisClient& client, const CommandBatch& batch, const BatchResult& result) {
    RoutedBatch routed{batch};
    const Member* const member = member_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < batch.size() && i < result.replies.size(); ++i) {
      routed.answer(i, result.replies[i], member->address.host);
    }
    routed.next();
    CommandBatch done;
    BatchResult outcome;
    std::size_t pending = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (pending < routed.pending().size() && routed.pending()[pending].command == i) {
        ++pending;
      } else if (i < result.replies.size()) {
        done.append(batch[i]);
        outcome.replies.push_back(result.replies[i]);
      }
    }
    send_on(batch, routed);
    if (!done.empty()) end(client, done, outcome);
  }

  /// Commands with the same route are sent together, in their order.
  void send_on(const CommandBatch& batch, const RoutedBatch& routed) {
    const bool pauses = routed.must_pause() || attempts_ >= RoutedBatch::kMostRedirections;
    const auto& all = routed.pending();
    std::vector<bool> sent(all.size(), false);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (sent[i]) continue;
      const RoutedBatch::Route& route = all[i].route;
      Member* const member = route.node && !pauses ? cluster_.nodes_.find_or_make(*route.node) : nullptr;
      CommandBatch together;
      for (std::size_t j = i; j < all.size(); ++j) {
        if (sent[j] || all[j].route.node != route.node || all[j].route.is_asked != route.is_asked) continue;
        sent[j] = true;
        if (member != nullptr && route.is_asked) together.asking();
        together.append(batch[all[j].command]);
      }
      if (member != nullptr) {
        cluster_.post_to(*member, std::move(together), next(1));
      } else {
        cluster_.post_later(SteadyClock::now() + pause_after(attempts_), std::move(together), next(1));
      }
    }
  }

  Cluster& cluster_;
  const std::shared_ptr<ReplyHandler> handler_;
  const int attempts_;
  std::atomic<Member*> member_{nullptr};
};

std::shared_ptr<Cluster::RoutedPost> Cluster::make_post(std::shared_ptr<ReplyHandler> handler, int attempts) {
  return std::allocate_shared<RoutedPost>(detail::RecyclingAllocator<RoutedPost>{post_blocks_}, *this,
                                          std::move(handler), attempts);
}

void Cluster::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  if (batch.empty()) {
    if (handler) handler->handle(client_, batch, {});
    return;
  }
  route(std::move(batch), make_post(std::move(handler)));
}

void Cluster::post_at(Time not_before, CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  post_later(not_before, std::move(batch), make_post(std::move(handler)));
}

/// Sends a post by the slot map, in parts where its commands are on several nodes.
void Cluster::route(CommandBatch batch, const std::shared_ptr<RoutedPost>& post) {
  if (Member* const owner = nodes_.only_owner(batch)) return post_to(*owner, std::move(batch), post);
  std::vector<std::pair<Member*, CommandBatch>> parts;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    Member* member = nodes_.owner(hash_slot(command.key));
    if (member == nullptr) member = &any_member();
    auto part = std::find_if(parts.begin(), parts.end(), [member](const auto& each) { return each.first == member; });
    if (part == parts.end()) part = parts.insert(parts.end(), {member, CommandBatch{}});
    part->second.append(command);
  }
  for (auto& [member, its_batch] : parts) {
    post_to(*member, std::move(its_batch), parts.size() == 1 ? post : post->next(0));
  }
}

void Cluster::post_to(Member& member, CommandBatch batch, std::shared_ptr<RoutedPost> post) {
  if (is_closing_.load(std::memory_order_acquire)) {
    return post->end(client_, batch, {{}, detail::failure(Errc::kConnectionLost, false, "client ended")});
  }
  post->sent_to(member);
  member.node->post(std::move(batch), std::move(post));
  service_thread_.request();
}

void Cluster::post_later(Time not_before, CommandBatch batch, const std::shared_ptr<RoutedPost>& post) {
  DeferredPosts::Post later{not_before, std::move(batch), post};
  if (!deferred_.add(later)) {
    return post->end(client_, later.batch,
                     {{}, detail::failure(Errc::kOverloaded, false, "too many posts are waiting to be sent again")});
  }
  service_thread_.request();
}

/// For commands whose node is not known: one that redirects them. Where it cannot be reached, they are moved as soon as
/// the map is known.
Cluster::Member& Cluster::any_member() {
  request_refresh();
  const std::vector<bool> holds = nodes_.holders();
  const auto holder = std::find(holds.begin(), holds.end(), true);
  if (holder != holds.end()) return nodes_[static_cast<std::size_t>(holder - holds.begin())];
  return *nodes_.find_or_make(seeds_.front());  // seeds are the first nodes, for which there is room
}

/// Sends the deferred posts whose time has come at `now`. One that cannot be sent for want of memory ends so.
void Cluster::post_deferred(Time now) {
  while (auto due = deferred_.take_due(now)) {
    const auto post = std::static_pointer_cast<RoutedPost>(due->handler);
    try {
      route(CommandBatch{due->batch}, post);
    } catch (const std::bad_alloc&) {
      post->end(client_, due->batch, {{}, detail::failure(Errc::kOverloaded, false, "out of memory")});
    }
  }
}

/// Posts wait at a node that fails: another may have taken over its slots, which no call may be there to notice. Posts
/// at a node without slots go to the owners.
void Cluster::watch_posts() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = *nodes_[i].node;
    if (!node.has_posts_under_way()) continue;
    if (node.circuit_is_open() || !refresh_.has_map()) refresh_.request();
    if (refresh_.has_map() && !nodes_.is_holder(nodes_[i])) node.refuse_unsent_posts(kMovedAway);
  }
}

}  // namespace tollgate::inline v0
