/// The client behind `memory://`: the same commands over a store inside this process, for trying tollgate, for tests,
/// and for a single process without Redis. Share one client between limiters to share budgets.
/// Thread safety: as every RedisClient, safe from all threads. After a fork the child has an empty store of its own.
#pragma once

#include <memory>
#include <mutex>

#include "clients/keyspace.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/redis_client.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

class MemoryClient final : public RedisClient {
 public:
  static constexpr std::size_t kMaxKeys = 1'000'000;

  /// Keys expire by `clock`'s steady time, and scripts read its Unix time; null = system_clock().
  explicit MemoryClient(std::shared_ptr<const Clock> clock = nullptr);

  /// Never blocks on I/O and never fails, but for a deadline that has passed.
  BatchResult execute(const CommandBatch& batch, Deadline deadline, const std::shared_ptr<ReplyHandler>& late) override;

  /// Executes at once; the handler has been called when it returns.
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override;

 private:
  struct Store {
    std::mutex mutex;
    Keyspace keyspace{kMaxKeys};
  };

  [[nodiscard]] BatchResult run(const CommandBatch& batch);

  std::shared_ptr<const Clock> clock_;
  detail::ForkLocal<Store> store_;
};

}  // namespace tollgate::inline v0
