/// One server: its connections, the choice between them, and the service thread that delivers posts and late replies
/// while there is no call.
///
/// While few calls are in flight each has a connection to itself, so that they do not wait for each other. When more
/// are in flight, they share the primary connection, which batches them, so that the number of connections stays small.
/// The primary carries all posts, its circuit breaker decides for the client, and its changes are reported. Secondary
/// connections carry calls only while the client is healthy; a call never waits for one to connect. After any failure
/// none is used until the primary has answered again and no reply is outstanding on them. A primary that stays silent
/// after a call timed out is replaced by a secondary that answers. Maintenance commands (SCAN, UNLINK) have a
/// connection of their own, so that a proxy that closes the connection because of them leaves no charge in doubt.
/// Thread safety: every public function may be called from all threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "clients/deferred_posts.hpp"
#include "clients/service_thread.hpp"
#include "transport/pipeline.hpp"
#include "values/counters.hpp"

namespace tollgate::inline v0 {

class Node {
 public:
  using Time = Pipeline::Time;

  /// Connections for calls; one more is made for maintenance when needed. `scripts/thresholds connections` compares
  /// them with one.
  static constexpr std::size_t kConnections = 4;

  /// `client` is passed to handlers. It and `scripts` must outlive the node. Of `options` the timeouts, TLS and the
  /// observer are used. With a `source` connections come from it, and only the endpoint's name is used, in messages.
  Node(RedisClient& client, Endpoint endpoint, Login login, const ClientOptions& options, const ScriptList& scripts,
       std::unique_ptr<ConnectionSource> source = nullptr);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // As RedisClient's.
  BatchResult execute(const CommandBatch& batch, RedisClient::Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late);
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler);
  void post_at(Time not_before, CommandBatch batch, std::shared_ptr<ReplyHandler> handler);
  bool drain(Time deadline);
  [[nodiscard]] Failure script_refusal() const { return shared_.scripts->refusal(); }
  [[nodiscard]] ClientStats stats() const noexcept;

  /// Whether calls fail at once, because the server failed those before.
  [[nodiscard]] bool circuit_is_open() noexcept { return primary().pipeline.circuit_is_open(); }
  /// Whether a post has not been answered.
  [[nodiscard]] bool has_posts_under_way() const noexcept {
    return std::any_of(slots_.begin(), slots_.end(),
                       [](const Slot& slot) { return slot.pipeline.has_posts_under_way(); });
  }
  /// Ends the posts that wait for a connection, certain not to have executed; the failure is kMoved.
  void refuse_unsent_posts(const char* why) noexcept;

  /// Closes the connections of a server that is used no more, unless calls or posts are under way there. The node can
  /// be used again.
  void disconnect_if_idle(const char* why) noexcept;

  /// Waits for posts and late replies, at most until `deadline`; those left then fail. Call it once, before the client
  /// that is passed to handlers is destroyed; no function may be called afterwards.
  void close(Time deadline);
  /// Likewise, at most for the command timeout.
  void close() { close(std::chrono::steady_clock::now() + shared_.command_timeout); }

 private:
  struct Slot {
    Slot(Pipeline::Shared& shared, Handshake handshake) : pipeline(shared, handshake) {}

    Pipeline pipeline;
    std::atomic<bool> in_use{false};  // reserved by a call
  };
  class ExclusiveUse;

  enum Counter : std::size_t { kFailed = LatencyHistogram::kBuckets, kCounters };

  [[nodiscard]] Slot& primary() noexcept { return slots_[primary_.load(std::memory_order_acquire)]; }
  BatchResult carry(const CommandBatch& batch, Time now, Time until, const std::shared_ptr<ReplyHandler>& late);
  BatchResult carry_on_primary(const CommandBatch& batch, Time now, Time until,
                               const std::shared_ptr<ReplyHandler>& late);
  BatchResult carry_on_replacement(std::size_t silent, std::size_t replacement, const CommandBatch& batch, Time now,
                                   Time until, const std::shared_ptr<ReplyHandler>& late);
  BatchResult carry_maintenance(const CommandBatch& batch, Time now, Time until,
                                const std::shared_ptr<ReplyHandler>& late);
  BatchResult carry_behind_posts(Pipeline& secondary, const CommandBatch& batch, Time now, Time until,
                                 const std::shared_ptr<ReplyHandler>& late);
  [[nodiscard]] Pipeline* secondary_with_post_on(const CommandBatch& batch);
  [[nodiscard]] std::size_t replacement_of(std::size_t silent);
  void replace_primary(std::size_t silent, std::size_t replacement);
  [[nodiscard]] bool few_are_under_way(int others) noexcept;
  void note_outcome(const BatchResult& result, Time since);

  [[nodiscard]] bool is_healthy() const noexcept {
    return failures_.load(std::memory_order_relaxed) == collected_.load(std::memory_order_relaxed);
  }
  void mark_unhealthy();
  bool collect_late_replies(Pipeline::Server server);
  void post_deferred(Time now);
  void renew_logins();
  std::optional<Time> service();

  detail::Counters<kCounters> counters_;  // of calls: the latencies, and then kFailed
  Pipeline::Shared shared_;
  std::deque<Slot> slots_;
  std::atomic<std::size_t> primary_{0};
  Pipeline maintenance_;
  std::atomic<int> calls_{0};  // in flight
  std::atomic<int> average_others_{
      0};  // moving average of the other calls in flight when a call begins, in units of 1 / kUnit
  std::atomic<unsigned> failures_{0};  // of calls
  std::atomic<unsigned> collected_{
      0};  // failures_ after which no reply is outstanding on secondary connections; equal: healthy
  std::atomic<bool> secondaries_given_up_{false};
  std::atomic<unsigned> secondary_posts_{0};       // how often posts were made, or left, on a secondary connection
  std::atomic<unsigned> secondary_posts_done_{0};  // secondary_posts_ after which none was left; equal: none is
  std::atomic<bool> is_posting_{false};            // a deferred post that is in neither queue
  DeferredPosts deferred_;
  ServiceThread service_thread_;  // last member: it uses the others until it ends
};

}  // namespace tollgate::inline v0
