/// The client behind `redis://` and `unix://`: one connection to Redis over hiredis, shared and pipelined by all
/// threads (see Pipeline).
/// Thread safety: as every RedisClient, safe from all threads. After a fork the child makes a connection of its own.
#pragma once

#include <memory>

#include "redis/pipeline.hpp"
#include "tollgate/detail/fork_local.hpp"
#include "tollgate/redis/connect.hpp"
#include "tollgate/redis/redis_client.hpp"
#include "tollgate/redis/url.hpp"

namespace tollgate::inline v0 {

class HiredisClient final : public RedisClient {
 public:
  /// `url` is of the scheme `redis` or `unix`. No I/O: it connects at the first use.
  HiredisClient(const Url& url, const ClientOptions& options)
      : pipeline_([this, url, options](Pipeline* inherited) {
          if (inherited != nullptr) inherited->close_in_child();
          return std::make_unique<Pipeline>(*this, url, options);
        }) {}

  /// Before the members go: handlers are given this client. In a child that never used it, closes what it inherited.
  ~HiredisClient() override { pipeline_.get().close(); }
  HiredisClient(const HiredisClient&) = delete;
  HiredisClient& operator=(const HiredisClient&) = delete;

  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    return pipeline_.get().execute(batch, deadline, late);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    pipeline_.get().post(std::move(batch), std::move(handler));
  }
  bool drain(std::chrono::steady_clock::time_point deadline) override { return pipeline_.get().drain(deadline); }
  [[nodiscard]] ClientStats stats() const override { return pipeline_.get().stats(); }

 private:
  mutable detail::ForkLocal<Pipeline> pipeline_;
};

}  // namespace tollgate::inline v0
