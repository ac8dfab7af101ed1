/// The scripts of the limiter. Their Lua stands in `src/values/scripts/`; `clients/script_twins.hpp` does the same in
/// C++ for `memory://`, and one set of test cases runs against both.
/// Thread safety: constants.
#pragma once

#include <cstdint>

#include "script_sources.hpp"
#include "tollgate/values/script.hpp"

namespace tollgate::inline v0 {

/// Checks, then adds; a denial writes nothing. `admit.lua` says its keys, arguments and replies.
inline constexpr Script kAdmitScript{"admit", script_sources::kAdmitSource, script_sources::kAdmitSha1};

/// Adds tokens past the limit or gives them back, never below zero. `adjust.lua` says the rest.
inline constexpr Script kAdjustScript{"adjust", script_sources::kAdjustSource, script_sources::kAdjustSha1};

/// The adjust script's replies that are no counter.
inline constexpr std::int64_t kNoCounter = -1;
inline constexpr std::int64_t kAlreadyAdjusted = -2;

}  // namespace tollgate::inline v0
