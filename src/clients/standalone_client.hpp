/// The client behind `redis://`, `unix://` and `redis+sentinel://`: one server at a time.
/// Thread safety: as every RedisClient, safe from all threads. After a fork the child makes connections of its own.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "clients/node.hpp"
#include "clients/sentinel_connections.hpp"
#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "values/fork_local.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class StandaloneClient final : public RedisClient {
 public:
  /// `url` names one server or sentinels. No I/O: it connects at the first use.
  StandaloneClient(const Url& url, const ClientOptions& options)
      : node_([this, url, options](Node*) {
          std::unique_ptr<ConnectionSource> source;
          if (url.topology() == Topology::kSentinel) source = std::make_unique<SentinelConnections>(url, options);
          return std::make_unique<Node>(*this, url.endpoint(), url.login(options.credentials), options, scripts_,
                                        std::move(source));
        }) {}
  StandaloneClient(const StandaloneClient&) = delete;
  StandaloneClient& operator=(const StandaloneClient&) = delete;
  ~StandaloneClient() override {
    if (Node* node = node_.get_if_made()) node->close();
  }

  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    return node_.get().execute(batch, deadline, late);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    node_.get().post(std::move(batch), std::move(handler));
  }
  bool drain(std::chrono::steady_clock::time_point deadline) override { return node_.get().drain(deadline); }
  void post_at(std::chrono::steady_clock::time_point not_before, CommandBatch batch,
               std::shared_ptr<ReplyHandler> handler) override {
    node_.get().post_at(not_before, std::move(batch), std::move(handler));
  }
  void preload(std::span<const Script* const> scripts) override { scripts_.add(scripts); }
  [[nodiscard]] Failure script_refusal() const override { return node_.get().script_refusal(); }
  [[nodiscard]] ClientStats stats() const override { return node_.get().stats(); }

 private:
  ScriptList scripts_;
  mutable detail::ForkLocal<Node> node_;
};

}  // namespace tollgate::inline v0
