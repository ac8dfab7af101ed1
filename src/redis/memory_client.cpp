#include "tollgate/redis/memory_client.hpp"

#include <utility>

namespace tollgate::inline v0 {
namespace {

Reply run_command(Keyspace& keys, const Command& command) {
  switch (command.operation) {
    case Operation::kGet: return keys.get(command.key);
    case Operation::kIncrBy: return keys.incr_by(command.key, command.integers[0]);
    case Operation::kExpire: return keys.expire(command.key, command.integers[0]);
    case Operation::kUnlink: return keys.unlink(command.key);
    case Operation::kScan: return keys.scan(command.key);
    case Operation::kScript: return command.script->twin(keys, {command.key, command.second_key, command.integers});
  }
  return Reply::error("ERR unknown command");
}

}  // namespace

MemoryClient::MemoryClient(std::shared_ptr<const Clock> clock) : clock_(clock ? std::move(clock) : system_clock()) {}

Replies MemoryClient::run(const CommandBatch& batch) {
  Store& store = store_.get();
  const std::lock_guard lock{store.mutex};
  store.keyspace.set_time(clock_->steady_now());
  Replies replies;
  for (std::size_t i = 0; i < batch.size(); ++i) replies.push_back(run_command(store.keyspace, batch[i]));
  return replies;
}

BatchResult MemoryClient::execute(const CommandBatch& batch, Deadline deadline,
                                  const std::shared_ptr<ReplyHandler>& /*late: never in doubt*/) {
  if (deadline && *deadline <= std::chrono::steady_clock::now()) {
    return {{}, {Errc::kTimeout, false, "the deadline had passed before the call"}};
  }
  return {run(batch), {}};
}

void MemoryClient::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  const BatchResult result{run(batch), {}};
  if (handler) handler->handle(*this, batch, result);
}

}  // namespace tollgate::inline v0
