/// Helpers that make replies of Redis, so that expectations are short and failed ones print the reply:
///
///     EXPECT_CALL(client, execute).WillOnce(Return(replies({integer(120), integer(1)})));
///
/// Thread safety: plain functions that make values.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/error.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::testing {

[[nodiscard]] inline Reply integer(std::int64_t value) { return Reply::integer(value); }
[[nodiscard]] inline Reply bulk(std::string text) { return Reply::string(std::move(text)); }
[[nodiscard]] inline Reply nil() { return Reply{}; }
[[nodiscard]] inline Reply status(std::string text) { return Reply::status(std::move(text)); }
/// An error reply with Redis's `text`: "OOM command not allowed …".
[[nodiscard]] inline Reply error(std::string text) { return Reply::error(std::move(text)); }
[[nodiscard]] inline Reply array(std::vector<Reply> elements) { return Reply::array(std::move(elements)); }

/// The result of a round trip that was made: one reply per command of its batch.
[[nodiscard]] inline BatchResult replies(std::vector<Reply> all) {
  BatchResult result;
  for (Reply& reply : all) result.replies.push_back(std::move(reply));
  return result;
}

/// The result of a round trip that was not made, or whose replies never came (`may_have_executed`).
[[nodiscard]] inline BatchResult failure(Errc code, bool may_have_executed = false) {
  return {{}, {code, may_have_executed, "set by a test"}};
}

}  // namespace tollgate::inline v0::testing
