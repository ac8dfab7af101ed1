/// Batches that hold an ASKING before each command, because a Cluster's node answered with ASK.
/// Thread safety: plain functions; WithoutAsking as the handler in it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

[[nodiscard]] inline bool is_asked(const CommandBatch& batch) {
  return !batch.empty() && batch[0].operation == Operation::kAsking;
}

/// The commands behind the ASKINGs.
[[nodiscard]] inline CommandBatch without_asking(const CommandBatch& batch) {
  CommandBatch commands;
  for (std::size_t i = 1; i < batch.size(); i += 2) commands.append(batch[i]);
  return commands;
}

/// Their replies; a failure stays as it is.
[[nodiscard]] inline BatchResult without_asking(BatchResult result) {
  Replies replies;
  for (std::size_t i = 1; i < result.replies.size(); i += 2) replies.push_back(std::move(result.replies[i]));
  result.replies = std::move(replies);
  return result;
}

/// Passes a late result on, without the ASKINGs.
class WithoutAsking final : public ReplyHandler {
 public:
  explicit WithoutAsking(std::shared_ptr<ReplyHandler> handler) : handler_(std::move(handler)) {}

  void handle(RedisClient& client, const CommandBatch& batch, const BatchResult& result) noexcept override try {
    handler_->handle(client, without_asking(batch), without_asking(BatchResult{result}));
  } catch (const std::bad_alloc&) {
    handler_->handle(client, batch, result);
  }

 private:
  const std::shared_ptr<ReplyHandler> handler_;
};

}  // namespace tollgate::inline v0
