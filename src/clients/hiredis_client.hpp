/// The client behind `redis://` and `unix://`: connections to Redis over hiredis, shared by all threads (see
/// ConnectionPool).
/// Thread safety: as every RedisClient, safe from all threads. After a fork the child makes connections of its own.
#pragma once

#include <memory>

#include "clients/connection_pool.hpp"
#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "values/fork_local.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class HiredisClient final : public RedisClient {
 public:
  /// `url` is of the scheme `redis` or `unix`. No I/O: it connects at the first use.
  HiredisClient(const Url& url, const ClientOptions& options)
      : pool_([this, url, options](ConnectionPool* inherited) {
          if (inherited != nullptr) inherited->close_in_child();
          return std::make_unique<ConnectionPool>(*this, url, options);
        }) {}

  /// Before the members go: handlers are given this client. In a child that never used it, closes what it inherited.
  ~HiredisClient() override { pool_.get().close(); }
  HiredisClient(const HiredisClient&) = delete;
  HiredisClient& operator=(const HiredisClient&) = delete;

  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    return pool_.get().execute(batch, deadline, late);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    pool_.get().post(std::move(batch), std::move(handler));
  }
  bool drain(std::chrono::steady_clock::time_point deadline) override { return pool_.get().drain(deadline); }
  [[nodiscard]] ClientStats stats() const override { return pool_.get().stats(); }

 private:
  mutable detail::ForkLocal<ConnectionPool> pool_;
};

}  // namespace tollgate::inline v0
