/// What a MockRedisClient does by default, in one word: admits(client), denies(client), fails(client). Each sets the
/// ON_CALLs of execute and post, and fits whatever a limiter asks: both admissions, looks, undo and settle, reset.
/// EXPECT_CALLs may be put on top of them. Matchers for these follow below.
/// Thread safety: as MockRedisClient.
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tollgate/connect.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/redis_client.hpp"
#include "tollgate/testing/mock_redis_client.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate::inline v0::testing {

/// What a Redis would answer in which every counter that `batch` names stands at `counter`; 0 = is absent.
[[nodiscard]] inline BatchResult answer_with_counters_at(std::int64_t counter, const CommandBatch& batch) {
  const std::shared_ptr<RedisClient> store = connect("memory://");
  CommandBatch counters;
  for (std::size_t i = 0; i < batch.size() && counter != 0; ++i) {
    if (batch[i].operation == Operation::kScan || batch[i].key.empty()) continue;
    counters.unlink(batch[i].key);
    counters.incr_by(batch[i].key, counter);
    counters.expire(batch[i].key, std::chrono::seconds{60});
  }
  store->post(std::move(counters), nullptr);
  return store->execute(batch, std::nullopt, nullptr);
}

/// Makes `client` answer every batch, executed or posted, with `answer(batch)`.
template <class Answer>
void answers(MockRedisClient& client, Answer answer) {
  ON_CALL(client, execute)
      .WillByDefault([&client, answer](const CommandBatch& batch, auto, const std::shared_ptr<ReplyHandler>& late) {
        BatchResult result = answer(batch);
        if (result.failure.may_have_executed && late) late->handle(client, batch, result);
        return result;
      });
  ON_CALL(client, post)
      .WillByDefault([&client, answer](const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& handler) {
        if (handler) handler->handle(client, batch, answer(batch));
      });
}

/// Every user has spent nothing yet, in every call anew: whatever is within the limit is admitted.
inline void admits(MockRedisClient& client) {
  answers(client, [](const CommandBatch& batch) { return answer_with_counters_at(0, batch); });
}

/// Every user has spent more than any limit: 1 token or more are denied, and nothing remains.
inline void denies(MockRedisClient& client) {
  answers(client, [](const CommandBatch& batch) { return answer_with_counters_at(kMaxTokens, batch); });
}

/// No batch is answered. With `may_have_executed`, the replies are lost for good.
inline void fails(MockRedisClient& client, Errc code = Errc::kConnectFailed, bool may_have_executed = false) {
  answers(client, [=](const CommandBatch&) { return failure(code, may_have_executed); });
}

/// Calls `accept(command)` on each command until one is accepted.
template <class Accept>
[[nodiscard]] bool any_command(const CommandBatch& batch, Accept accept) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (accept(batch[i])) return true;
  }
  return false;
}

/// Whether `command` runs tollgate's script of this name.
[[nodiscard]] inline bool runs(const Command& command, std::string_view script) {
  return command.script != nullptr && command.script->name == script;
}

/// A batch that holds such a command. `key` is a text or a matcher of texts.
MATCHER_P2(HasCommand, operation, key, "") {
  return any_command(arg, [this](const Command& command) {
    return command.operation == operation && ::testing::Matches(key)(std::string{command.key});
  });
}

/// A batch that charges `tokens` (a number or a matcher) within the limit, in either admission.
MATCHER_P(Charges, tokens, "") {
  return any_command(arg, [this](const Command& command) {
    const bool is_charge = command.operation == Operation::kIncrBy || runs(command, "admit");
    return is_charge && ::testing::Matches(tokens)(command.integers[0]);
  });
}

/// A batch that adds `tokens` (a number or a matcher) past the limit: an undo, a settlement, a record. Negative: given
/// back.
MATCHER_P(Adjusts, tokens, "") {
  return any_command(arg, [this](const Command& command) {
    return runs(command, "adjust") && ::testing::Matches(tokens)(command.integers[0]);
  });
}

}  // namespace tollgate::inline v0::testing
