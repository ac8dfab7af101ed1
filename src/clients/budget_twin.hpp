/// The C++ twin of `budget.lua`; see script_twins.hpp. The arithmetic of its windows is in values/windows/.
/// Thread safety: that of the Keyspace.
#pragma once

#include <chrono>

#include "clients/keyspace.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

/// `command` has at least one key; times before 1970 count as 1970.
[[nodiscard]] Reply run_budget_twin(Keyspace& keys, const Command& command, std::chrono::system_clock::time_point now);

}  // namespace tollgate::inline v0
