/// What the tests of FixedWindow share: windows, a request at a known time, and its batches.
/// Thread safety: plain values.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>

#include "decisions/fixed_window.hpp"

namespace tollgate::decisions {

inline constexpr std::int64_t kMinute = 29'012'345;
inline constexpr std::chrono::system_clock::time_point kNow{std::chrono::minutes{kMinute} +
                                                            std::chrono::milliseconds{12'345}};
inline constexpr auto kUntilReset = std::chrono::milliseconds{47'655};
inline constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();

inline const FixedWindow kPipelined{100, "p", Admission::kPipelined};
inline const FixedWindow kAtomic{100, "p", Admission::kAtomic};
inline const FixedWindow kLargest{kMaxTokens, "p", Admission::kPipelined};
inline const FixedWindow kLargestAtomic{kMaxTokens, "p", Admission::kAtomic};

inline Request request(std::int64_t tokens, std::string_view operation_id = {}) {
  return {"user_42", tokens, kNow, operation_id};
}

inline CommandBatch charge_of(const FixedWindow& window, const Request& request) {
  CommandBatch batch;
  window.charge(request, batch);
  return batch;
}

inline CommandBatch look_of(const FixedWindow& window, const Request& request) {
  CommandBatch batch;
  window.peek(request, batch);
  return batch;
}

inline CommandBatch adjustment_of(const FixedWindow& window, std::int64_t tokens, bool window_counts,
                                  std::string_view once_id = {}) {
  CommandBatch batch;
  window.adjust({"user_42", {kMinute}, tokens, window_counts, once_id}, batch);
  return batch;
}

inline void expect_failed(const Answer& answer, Errc code, bool must_undo) {
  EXPECT_EQ(answer.failure.code, code);
  EXPECT_EQ(answer.must_undo, must_undo);
}

}  // namespace tollgate::decisions
