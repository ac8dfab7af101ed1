/// The client behind `redis+cluster://`: a Redis Cluster.
/// Thread safety: as every RedisClient, safe from all threads. After a fork the child makes connections of its own.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "clients/cluster.hpp"
#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "values/fork_local.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class ClusterClient final : public RedisClient {
 public:
  /// `url` is of the topology kCluster. No I/O: it connects at the first use.
  ClusterClient(const Url& url, const ClientOptions& options)
      : cluster_([this, url, options](Cluster*) { return std::make_unique<Cluster>(*this, url, options, scripts_); }) {}
  ClusterClient(const ClusterClient&) = delete;
  ClusterClient& operator=(const ClusterClient&) = delete;
  ~ClusterClient() override {
    if (Cluster* cluster = cluster_.get_if_made()) cluster->close();
  }

  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    return cluster_.get().execute(batch, deadline, late);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    cluster_.get().post(std::move(batch), std::move(handler));
  }
  bool drain(std::chrono::steady_clock::time_point deadline) override { return cluster_.get().drain(deadline); }
  void post_at(std::chrono::steady_clock::time_point not_before, CommandBatch batch,
               std::shared_ptr<ReplyHandler> handler) override {
    cluster_.get().post_at(not_before, std::move(batch), std::move(handler));
  }
  void preload(std::span<const Script* const> scripts) override { scripts_.add(scripts); }
  [[nodiscard]] bool divides_by_slot() const override { return true; }
  [[nodiscard]] Failure script_refusal() const override { return cluster_.get().script_refusal(); }
  [[nodiscard]] ClientStats stats() const override { return cluster_.get().stats(); }

 private:
  ScriptList scripts_;
  mutable detail::ForkLocal<Cluster> cluster_;
};

}  // namespace tollgate::inline v0
