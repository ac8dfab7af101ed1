/// The scripts of the limiter. Their Lua stands in `src/values/scripts/`; `clients/script_twins.hpp` does the same in
/// C++ for `memory://`, and one set of test cases runs against both.
/// Thread safety: constants.
#pragma once

#include <cstdint>

#include "tollgate/values/script.hpp"

namespace tollgate::inline v0 {

/// Checks, then adds; a denial writes nothing. Keys, arguments and replies: see `admit.lua`.
extern const Script kAdmitScript;

/// Adds tokens past the limit or gives them back, never below zero. Keys, arguments and replies: see `adjust.lua`.
extern const Script kAdjustScript;

/// Charges several limits, all or none, or adjusts what was charged. Keys, arguments and replies: see `budget.lua`;
/// their layout: `budget_script.hpp`.
extern const Script kBudgetScript;

/// The adjust script's replies that are no counter.
inline constexpr std::int64_t kNoCounter = -1;
inline constexpr std::int64_t kAlreadyAdjusted = -2;

}  // namespace tollgate::inline v0
