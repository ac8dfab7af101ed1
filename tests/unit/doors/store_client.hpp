/// A client over `memory://` with faults set by a test: it returns given replies, delays posts, and may refuse scripts
/// or act as a node of a Cluster. So tests compare counters instead of batches. Thread safety: one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clients/memory_client.hpp"
#include "decisions/keys.hpp"
#include "tollgate/redis_client.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"
#include "values/hash_slot.hpp"

namespace tollgate {

class StoreClient final : public RedisClient {
 public:
  explicit StoreClient(std::shared_ptr<testing::ManualClock> clock) : clock_(std::move(clock)), store_(clock_) {}

  /// The error for a command, instead of its execution; nothing = it is executed.
  using Refusal = std::function<std::optional<std::string>(const Command&)>;
  void refuse(Refusal refusal) { refusal_ = std::move(refusal); }
  /// CROSSSLOT for every script on keys of different slots.
  void act_as_cluster() {
    refuse([](const Command& command) -> std::optional<std::string> {
      for (std::size_t i = 1; i < command.keys.size(); ++i) {
        if (hash_slot(command.keys[i]) != hash_slot(command.keys[0])) return "CROSSSLOT Keys in request don't hash";
      }
      return std::nullopt;
    });
  }
  /// The result of every posted batch; nothing = by refuse().
  void answer_posts(std::optional<BatchResult> answer) { answer_ = std::move(answer); }
  void set_script_refusal(Failure refusal) { script_refusal_ = std::move(refusal); }

  BatchResult execute(const CommandBatch& batch, Deadline /*deadline*/,
                      const std::shared_ptr<ReplyHandler>& /*late*/) override {
    executed.push_back(::testing::PrintToString(batch));
    return run(batch);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    posted.push_back(::testing::PrintToString(batch));
    handler->handle(*this, batch, answer_ ? *answer_ : run(batch));
  }
  void post_at(std::chrono::steady_clock::time_point not_before, CommandBatch batch,
               std::shared_ptr<ReplyHandler> handler) override {
    later_.push_back({std::move(batch), std::move(handler)});
    due.push_back(not_before);
  }
  void preload(std::span<const Script* const> scripts) override { preloaded.assign(scripts.begin(), scripts.end()); }
  [[nodiscard]] Failure script_refusal() const override { return script_refusal_; }

  /// Executes the delayed posts; false when there were none.
  bool run_later() {
    for (auto& [batch, handler] : std::exchange(later_, {})) post(std::move(batch), std::move(handler));
    return !later_.empty();
  }

  /// The counter of `user_id` in the window `ago` before the current one; nothing = there is none.
  [[nodiscard]] std::optional<std::int64_t> counter(std::string_view user_id, std::int64_t ago = 0) {
    CommandBatch batch;
    const auto window = decisions::window_at(clock_->now()).number - ago;
    batch.get(decisions::Key::counter("p", user_id, {window}).view());
    return store_.execute(batch, std::nullopt, nullptr).replies[0].to_integer();
  }

  std::vector<std::string> executed;
  std::vector<std::string> posted;
  std::vector<std::chrono::steady_clock::time_point> due;  // the due times of delayed posts
  std::vector<const Script*> preloaded;

 private:
  [[nodiscard]] BatchResult run(const CommandBatch& batch) {
    BatchResult result;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto error = refusal_ ? refusal_(batch[i]) : std::nullopt;
      CommandBatch one;
      one.append(batch[i]);
      result.replies.push_back(error ? testing::error(*error) : store_.execute(one, std::nullopt, nullptr).replies[0]);
    }
    return result;
  }

  std::shared_ptr<testing::ManualClock> clock_;
  MemoryClient store_;
  Refusal refusal_;
  std::optional<BatchResult> answer_;
  Failure script_refusal_;
  std::vector<std::pair<CommandBatch, std::shared_ptr<ReplyHandler>>> later_;
};

}  // namespace tollgate
