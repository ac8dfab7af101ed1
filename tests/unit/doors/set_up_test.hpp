/// A limiter over StoreClient, whose set-up is at fault, with its counters, events and errors.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/redis_rate_limiter.hpp"
#include "unit/doors/store_client.hpp"

namespace tollgate {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct EventNames final : Observer {
  void on_event(const Event& event) noexcept override {
    names.emplace_back(to_string(event.kind));
    last = event.failure;
  }
  std::vector<std::string> names;
  Failure last;
};

inline std::string message_of(const std::function<void()>& call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

class SetUpTest : public ::testing::Test {
 protected:
  [[nodiscard]] RateLimitConfig config(Admission admission = Admission::kPipelined,
                                       FailurePolicy policy = FailurePolicy::kThrow) const {
    return {.max_tokens_per_minute = 1000,
            .key_prefix = "p",
            .admission = admission,
            .on_failure = policy,
            .deny_memory = 0ms,
            .clock = clock_,
            .observer = observer_};
  }
  /// Every command of this operation is answered with `error`.
  void refuse(Operation operation, const std::string& error) {
    client_->refuse(
        [=](const Command& command) { return command.operation == operation ? std::optional{error} : std::nullopt; });
  }
  void refuse_nothing() { client_->refuse(nullptr); }
  std::vector<std::string> events() { return std::exchange(observer_->names, {}); }

  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<StoreClient> client_ = std::make_shared<StoreClient>(clock_);
  std::shared_ptr<EventNames> observer_ = std::make_shared<EventNames>();
};

}  // namespace tollgate
