/// A primary with replicas and the sentinels that watch it, for tests of a failover: private redis-servers on free
/// loopback ports, as RedisServer starts them.
///
///     tollgate::testing::RedisSentinels redis;
///     tollgate::RedisRateLimiter limiter{redis.url()};
///     RedisServer& old = redis.kill_primary();
///     redis.wait_for_promotion(old);
///
/// Link `tollgate::testing`. Every function throws std::runtime_error when a server does not do in time what it should.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "tollgate/testing/redis_server.hpp"

namespace tollgate::inline v0::testing {

class RedisSentinels {
 public:
  struct Options {
    std::size_t replicas = 2;
    std::size_t sentinels = 3;                       ///< a majority of them decides on a failover
    std::chrono::milliseconds down_after{500};       ///< a primary silent for longer counts as down
    std::string sentinel_password = {};              ///< of the sentinels' default user; empty = none
    std::vector<std::string> server_arguments = {};  ///< of the primary and the replicas
    const TlsCertificates* certificates = nullptr;   ///< with them all speak TLS alone; they must outlive the object
  };

  /// Returns when the replicas are in step and the sentinels see them and each other.
  RedisSentinels() : RedisSentinels(Options{}) {}
  explicit RedisSentinels(Options options);
  RedisSentinels(const RedisSentinels&) = delete;
  RedisSentinels& operator=(const RedisSentinels&) = delete;
  ~RedisSentinels();

  /// redis+sentinel://127.0.0.1:<port>,…/<service>, with ?sentinel_password where there is one; with TLS
  /// rediss+sentinel://… and ?ca_file.
  [[nodiscard]] std::string url() const;
  [[nodiscard]] static std::string service() { return "tollgate-test"; }

  [[nodiscard]] RedisServer& server(std::size_t index) { return servers_.at(index); }  ///< 0 is the first primary
  [[nodiscard]] std::size_t servers() const noexcept { return servers_.size(); }
  [[nodiscard]] RedisServer& sentinel(std::size_t index) { return sentinels_.at(index); }  ///< may be paused and killed
  [[nodiscard]] std::size_t sentinels() const noexcept { return sentinels_.size(); }

  /// The server that the first running sentinel names.
  [[nodiscard]] RedisServer& primary();

  /// Kills the primary (SIGKILL), and returns it; restart() makes it a replica of the new one after a while.
  RedisServer& kill_primary();
  /// Makes the sentinels promote a replica, while the primary runs; returns the old primary once that is done. It still
  /// takes writes until they make it a replica: see wait_until_replica().
  RedisServer& fail_over();
  /// Waits until a server other than `old` says that it is the primary, and returns it. Sentinels may name it later.
  RedisServer& wait_for_promotion(const RedisServer& old, std::chrono::milliseconds timeout = std::chrono::seconds{30});
  /// Waits until `server` is a replica in step with the primary.
  void wait_until_replica(const RedisServer& server, std::chrono::milliseconds timeout = std::chrono::seconds{30});

 private:
  [[nodiscard]] RedisServer* find_promoted(const RedisServer& old);
  void start(std::deque<RedisServer>& group, std::vector<std::string> arguments) const;
  void start_sentinel(std::size_t index);
  void wait_until_complete();

  const Options options_;
  const std::string folder_;  // of the sentinels' configuration, which they write themselves
  std::deque<RedisServer> servers_;
  std::deque<RedisServer> sentinels_;
};

}  // namespace tollgate::inline v0::testing
