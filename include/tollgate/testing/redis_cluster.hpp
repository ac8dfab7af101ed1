/// A private Redis Cluster for tests: primaries and replicas on free loopback ports, all slots assigned, stopped and
/// deleted by the destructor.
///
///     tollgate::testing::RedisCluster cluster;
///     tollgate::RedisRateLimiter limiter{cluster.url()};
///
/// Link `tollgate::testing`; redis-server 7 or later. Every function throws std::runtime_error when a node does not do
/// within 20 s what it was asked to do.
/// Thread safety: node(), url() and const functions may be called from all threads; the others one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/testing/redis_server.hpp"
#include "tollgate/testing/tls_certificates.hpp"

namespace tollgate::inline v0::testing {

class RedisCluster {
 public:
  struct Layout {
    std::size_t primaries = 3;  ///< 1 … 16; they share the slots evenly
    std::size_t replicas_per_primary =
        0;  ///< the replicas of primary i are the nodes primaries + i, + i + primaries, …
    std::vector<std::string> arguments = {};        ///< for each redis-server, after those of the Cluster
    const TlsCertificates* certificates = nullptr;  ///< not null: all nodes speak TLS alone; must outlive the cluster
  };

  RedisCluster() : RedisCluster{Layout{}} {}
  /// Returns when every node sees all slots served and all replicas in step.
  explicit RedisCluster(Layout layout);

  /// `redis+cluster://127.0.0.1:<port>,…` with every primary of the layout; with TLS `rediss+cluster://…?ca_file=…`.
  [[nodiscard]] std::string url() const;

  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  /// First the primaries of the layout, then the replicas, then those of add_node().
  [[nodiscard]] RedisServer& node(std::size_t index) { return nodes_.at(index); }
  [[nodiscard]] const RedisServer& node(std::size_t index) const { return nodes_.at(index); }

  [[nodiscard]] static std::uint16_t slot_of(std::string_view key);
  /// The running node that holds `slot`; size() when none does.
  [[nodiscard]] std::size_t owner_of(std::uint16_t slot) const;
  [[nodiscard]] std::size_t owner_of(std::string_view key) const { return owner_of(slot_of(key)); }

  /// A slot's way from one primary to another, step by step: begin_migration(), move_keys() until it returns 0, and
  /// end_migration(). Between these the old node answers ASK for keys that have been moved.
  void begin_migration(std::uint16_t slot, std::size_t to);
  /// Moves at most `count` keys of a slot whose migration has begun; returns how many it moved.
  std::size_t move_keys(std::uint16_t slot, std::size_t to, std::size_t count);
  void end_migration(std::uint16_t slot, std::size_t to);
  /// All of it.
  void migrate(std::uint16_t slot, std::size_t to);

  /// Makes replica number `index` the primary of its shard, in agreement with the old one, and waits until it is.
  void fail_over_to(std::size_t index);
  /// Waits until node number `index` is a primary, as after its primary was killed.
  void wait_until_primary(std::size_t index);

  /// Starts a primary without slots, which all nodes know; returns its index.
  std::size_t add_node();
  /// Makes all other nodes forget it, which must hold no slots, and stops it.
  void forget_node(std::size_t index);

  /// The keys of all running nodes that have no expiry.
  [[nodiscard]] std::vector<std::string> keys_without_ttl() const;
  /// FLUSHALL on every running primary.
  void flush();

  /// Waits until every running node sees a served Cluster.
  void wait_until_served() const;

 private:
  RedisServer& start_node();
  [[nodiscard]] std::string id_of(std::size_t index) const;
  [[nodiscard]] bool is_primary(std::size_t index) const;
  void meet(std::size_t index) const;

  const Layout layout_;
  std::deque<RedisServer> nodes_;
};

}  // namespace tollgate::inline v0::testing
