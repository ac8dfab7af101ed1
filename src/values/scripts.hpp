/// The scripts of the limiter. Their Lua stands in `src/values/scripts/`; `clients/script_twins.hpp` does the same in
/// C++ for `memory://`, and one set of test cases runs against both.
/// Thread safety: constants.
#pragma once

#include <cstdint>

#include "tollgate/values/script.hpp"

namespace tollgate::inline v0 {

/// Checks, then adds; a denial writes nothing. `admit.lua` says its keys, arguments and replies.
extern const Script kAdmitScript;

/// Adds tokens past the limit or gives them back, never below zero. `adjust.lua` says the rest.
extern const Script kAdjustScript;

/// The adjust script's replies that are no counter.
inline constexpr std::int64_t kNoCounter = -1;
inline constexpr std::int64_t kAlreadyAdjusted = -2;

}  // namespace tollgate::inline v0
