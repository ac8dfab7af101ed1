/// Learns the slot map of a Redis Cluster: asks one node after another until one answers. Requests are coalesced and
/// bounded in rate, so that neither a failing node nor many callers make many of them.
/// Thread safety: run() one thread at a time, everything else from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "clients/cluster_nodes.hpp"
#include "clients/slot_map.hpp"
#include "tollgate/error.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class SlotMapRefresh {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The time between two refreshes: it doubles while the map stays the same or no node answers.
  static constexpr std::chrono::milliseconds kShortestInterval{100};
  static constexpr std::chrono::milliseconds kLongestInterval{1000};

  /// `nodes` must outlive this object. `seeds`: the hosts of the URL. `timeout`: the time that each node has to answer.
  SlotMapRefresh(ClusterNodes& nodes, std::vector<HostAndPort> seeds, bool is_encrypted,
                 std::chrono::milliseconds timeout);

  /// Notes that the map may be out of date.
  void request() noexcept { is_requested_.store(true, std::memory_order_release); }
  /// Likewise, when a node has said that a slot is elsewhere. The next refresh is due after the shortest interval at
  /// the latest, and counts as one that changed the map, also where the map was corrected by that reply already: while
  /// slots move, calls to a node that was shut down depend on refreshes that are due soon.
  void request_after_move() noexcept;
  /// Whether a refresh is under way, or would be with request().
  [[nodiscard]] bool is_due(Time now) const noexcept {
    return is_running_.load(std::memory_order_acquire) || now >= not_before_.load(std::memory_order_acquire);
  }
  /// When run() would refresh; nothing when nothing was requested.
  [[nodiscard]] std::optional<Time> next() const noexcept {
    if (!is_requested_.load(std::memory_order_acquire)) return std::nullopt;
    return not_before_.load(std::memory_order_acquire);
  }

  /// Asks for the map, where that was requested and is due. Nothing when there is no new one. Throws std::bad_alloc.
  [[nodiscard]] std::optional<SlotMap> run(Time now);
  /// To be called when the map of run() has been used: `changed` tells whether it differed.
  void has_used_map(bool changed) noexcept;
  /// To be called when run(), or the use of its map, has thrown.
  void give_up() noexcept;
  /// Makes run() ask no further nodes.
  void stop() noexcept { is_stopped_.store(true, std::memory_order_release); }

  [[nodiscard]] bool has_map() const noexcept { return has_map_.load(std::memory_order_acquire); }
  /// The number of refreshes that have ended, with or without a map.
  [[nodiscard]] std::uint64_t finished() const noexcept { return finished_.load(std::memory_order_acquire); }
  /// Why the last refresh got no map; never executed.
  [[nodiscard]] Failure failure() const;

 private:
  void finish(bool changed) noexcept;
  [[nodiscard]] std::vector<HostAndPort> candidates() const;
  [[nodiscard]] std::optional<SlotMap> ask(const HostAndPort& address, Failure& failure);
  [[nodiscard]] std::optional<SlotMap> ask(ClusterNodes::Member& member, bool by_shards, Failure& failure) const;

  ClusterNodes& nodes_;
  const std::vector<HostAndPort> seeds_;
  const bool is_encrypted_;
  const std::chrono::milliseconds timeout_;

  std::atomic<bool> is_requested_{false};
  std::atomic<bool> is_running_{false};
  std::atomic<bool> is_stopped_{false};
  std::atomic<bool> has_seen_move_{false};  // since the last refresh ended
  std::atomic<bool> has_map_{false};
  std::atomic<Time> not_before_{Time::min()};
  std::atomic<std::uint64_t> finished_{0};
  std::chrono::milliseconds interval_ = kShortestInterval;  // run()'s
  std::optional<HostAndPort> answered_last_;                // run()'s
  std::vector<HostAndPort> replicas_;                       // run()'s
  bool knows_shards_ = true;                                // run()'s: false for a server before Redis 7

  mutable std::mutex mutex_;  // guards failure_
  Failure failure_;
};

}  // namespace tollgate::inline v0
