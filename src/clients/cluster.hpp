/// The nodes of one Redis Cluster as a process uses them: sends each command to the node that holds its hash slot,
/// follows redirections, and learns the slot map.
///
/// A batch whose commands are all on one node, as the commands of one decision are, goes straight to it. Others are
/// divided, and all nodes are asked at once. cluster_calls.cpp has the calls, cluster_posts.cpp the posts, cluster.cpp
/// the rest.
/// Thread safety: every public function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "clients/cluster_nodes.hpp"
#include "clients/deferred_posts.hpp"
#include "clients/routed_batch.hpp"
#include "clients/service_thread.hpp"
#include "clients/slot_map_refresh.hpp"
#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "values/recycled_blocks.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class Cluster {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `client` is passed to handlers. It and `scripts` must outlive the cluster. No I/O.
  Cluster(RedisClient& client, const Url& url, const ClientOptions& options, const ScriptList& scripts);

  // As RedisClient's.
  BatchResult execute(const CommandBatch& batch, RedisClient::Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late);
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler);
  void post_at(Time not_before, CommandBatch batch, std::shared_ptr<ReplyHandler> handler);
  bool drain(Time deadline);
  [[nodiscard]] Failure script_refusal() const;
  [[nodiscard]] ClientStats stats() const noexcept;

  /// As Node::close(), for all nodes together.
  void close();

 private:
  using Member = ClusterNodes::Member;
  class RoutedPost;
  static constexpr const char* kMovedAway = "the slots have moved to another node";
  struct Part;

  // cluster_calls.cpp
  BatchResult execute_by_map(const CommandBatch& batch, Time until, const std::shared_ptr<ReplyHandler>& late);
  BatchResult execute_further(Member& asked, const CommandBatch& batch, BatchResult result, Time until,
                              const std::shared_ptr<ReplyHandler>& late);
  BatchResult carry(const CommandBatch& batch, RoutedBatch& routed, Time until,
                    const std::shared_ptr<ReplyHandler>& late);
  [[nodiscard]] std::vector<Part> divide(const CommandBatch& batch, RoutedBatch& routed);
  void execute_all(std::vector<Part>& parts, Time until, const std::shared_ptr<ReplyHandler>& late);
  [[nodiscard]] bool await_new_map(const Part& part, const CommandBatch& batch, Time until);
  void take_result(const CommandBatch& batch, RoutedBatch& routed, Part& part, Time until);
  BatchResult lost(const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& late) noexcept;
  BatchResult scan(const Command& command, Time until);
  BatchResult ping(const CommandBatch& batch, Time until);
  [[nodiscard]] Failure await_map(Time until);

  // cluster_posts.cpp
  void route(CommandBatch batch, const std::shared_ptr<RoutedPost>& post);
  [[nodiscard]] std::shared_ptr<RoutedPost> make_post(std::shared_ptr<ReplyHandler> handler, int attempts = 0);
  void post_to(Member& member, CommandBatch batch, std::shared_ptr<RoutedPost> post);
  void post_later(Time not_before, CommandBatch batch, const std::shared_ptr<RoutedPost>& post);
  [[nodiscard]] Member& any_member();
  void post_deferred(Time now);
  void watch_posts();

  // cluster.cpp
  void request_refresh() noexcept;
  [[nodiscard]] bool await_refresh(Time until, std::chrono::milliseconds soon = {});
  void learn_owner(std::uint16_t slot, const HostAndPort& address, Time until);
  void use(const SlotMap& map);
  void settle_posts(Member& member, Time until);
  std::optional<Time> service();

  RedisClient& client_;
  const std::vector<HostAndPort> seeds_;
  const std::chrono::milliseconds command_timeout_;
  std::atomic<bool> is_closing_{false};
  std::atomic<std::size_t> posts_{0};   // that have no outcome yet
  detail::RecycledBlocks post_blocks_;  // of the handlers of posts
  ClusterNodes nodes_;
  SlotMapRefresh refresh_;
  DeferredPosts deferred_;
  ServiceThread service_thread_;  // last member: it uses the others until it ends
};

}  // namespace tollgate::inline v0
