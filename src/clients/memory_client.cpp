#include "clients/memory_client.hpp"

#include <utility>

#include "clients/script_twins.hpp"

namespace tollgate::inline v0 {

MemoryClient::MemoryClient(std::shared_ptr<const Clock> clock) : clock_(clock ? std::move(clock) : system_clock()) {}

BatchResult MemoryClient::run(const CommandBatch& batch) {
  Store& store = store_.get();
  const std::lock_guard lock{store.mutex};
  store.keyspace.set_time(clock_->steady_now());
  BatchResult result;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    result.replies.push_back(command.operation == Operation::kScript ? run_script_twin(store.keyspace, command, *clock_)
                                                                     : store.keyspace.execute(command));
  }
  return result;
}

BatchResult MemoryClient::execute(const CommandBatch& batch, Deadline deadline,
                                  const std::shared_ptr<ReplyHandler>& /*late: never in doubt*/) {
  if (deadline && *deadline <= std::chrono::steady_clock::now()) {
    return {{}, {Errc::kTimeout, false, "the deadline had passed before the call"}};
  }
  return run(batch);
}

void MemoryClient::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  const BatchResult result = run(batch);
  if (handler) handler->handle(*this, batch, result);
}

}  // namespace tollgate::inline v0
