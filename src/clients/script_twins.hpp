/// The C++ twins of the scripts: they do to a Keyspace what the Lua does in Redis. The replies are those that a client
/// returns, without the serial number.
/// Thread safety: that of the Keyspace.
#pragma once

#include "clients/keyspace.hpp"
#include "tollgate/clock.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

/// Runs the script of `command`, which must be of kind Operation::kScript. What Redis's TIME is to a script,
/// `clock.now()` is to its twin. A script without a twin is answered with an error.
[[nodiscard]] Reply run_script_twin(Keyspace& keys, const Command& command, const Clock& clock);

}  // namespace tollgate::inline v0
