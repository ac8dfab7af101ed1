/// Default actions of a MockRedisClient: admits(client), denies(client), fails(client). Each sets the ON_CALLs of
/// execute and post, for every batch of a limiter: charges of both admissions, reads, undo, settle and reset, and the
/// script of a BudgetLimiter.
/// EXPECT_CALLs may be added to them. Matchers for batches follow below.
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
#include <vector>

#include "tollgate/connect.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/redis_client.hpp"
#include "tollgate/testing/mock_redis_client.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate::inline v0::testing {

/// Whether `command` runs tollgate's script of this name.
[[nodiscard]] inline bool runs(const Command& command, std::string_view script) {
  return command.script != nullptr && command.script->name == script;
}

/// Appends what charges `cost` to every limit that a BudgetLimiter's `command` names, past the limits.
inline void charge_every_limit(std::int64_t cost, const Command& command, CommandBatch& batch) {
  // The layout of the script's arguments: mode, number of charges, flags, a time to live; then six for each charge, of
  // which the first is the kind of window, the fourth the cost, and the fifth the window or a lease.
  constexpr std::int64_t kAdjust = 2;
  constexpr std::int64_t kSlots = 4;
  std::vector<std::int64_t> integers{command.integers.begin(), command.integers.end()};
  integers[0] = kAdjust;
  integers[2] = 0;
  for (std::size_t charge = 4; charge + 6 <= integers.size(); charge += 6) {
    integers[charge + 3] = cost;
    integers[charge + 4] = integers[charge] == kSlots ? 1 : -1;
  }
  std::vector<std::string_view> keys;
  for (std::size_t i = 0; i < static_cast<std::size_t>(integers[1]); ++i) keys.push_back(command.keys[i]);
  batch.run(*command.script, keys, integers);
}

/// The replies of a Redis in which every counter that `batch` names has the value `counter`; 0 = the key is absent.
[[nodiscard]] inline BatchResult answer_with_counters_at(std::int64_t counter, const CommandBatch& batch) {
  const std::shared_ptr<RedisClient> store = connect("memory://");
  CommandBatch counters;
  for (std::size_t i = 0; i < batch.size() && counter != 0; ++i) {
    if (batch[i].operation == Operation::kScan || batch[i].key.empty()) continue;
    if (runs(batch[i], "budget")) {
      charge_every_limit(counter, batch[i], counters);
      continue;
    }
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

/// Answers each call as if no user had spent anything: every request within the limit is admitted.
inline void admits(MockRedisClient& client) {
  answers(client, [](const CommandBatch& batch) { return answer_with_counters_at(0, batch); });
}

/// Answers each call as if every user had spent more than any limit: 1 token or more are denied, and 0 remain.
inline void denies(MockRedisClient& client) {
  answers(client, [](const CommandBatch& batch) { return answer_with_counters_at(kMaxTokens, batch); });
}

/// Makes every batch fail. With `may_have_executed`, the replies never come.
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

/// Matches a batch with such a command. `key` is a text or a matcher of texts.
MATCHER_P2(HasCommand, operation, key, "") {
  return any_command(arg, [this](const Command& command) {
    return command.operation == operation && ::testing::Matches(key)(std::string{command.key});
  });
}

/// Matches a batch that charges `tokens` (a number or a matcher) within the limit, in either admission.
MATCHER_P(Charges, tokens, "") {
  return any_command(arg, [this](const Command& command) {
    const bool is_charge = command.operation == Operation::kIncrBy || runs(command, "admit");
    return is_charge && ::testing::Matches(tokens)(command.integers[0]);
  });
}

/// Matches a batch that adds `tokens` (a number or a matcher) whatever the limit: an undo, a settlement or a record.
/// Negative: tokens given back.
MATCHER_P(Adjusts, tokens, "") {
  return any_command(arg, [this](const Command& command) {
    return runs(command, "adjust") && ::testing::Matches(tokens)(command.integers[0]);
  });
}

}  // namespace tollgate::inline v0::testing
