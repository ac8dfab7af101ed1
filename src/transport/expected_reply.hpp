/// Detects a connection that is out of step: checks whether each reply can belong to the next command. One lost or
/// additional reply shifts all later ones, and every caller would get the reply to another call.
///
/// Among INCRBY and EXPIRE, a shift is detected by type and range. A script has one reply, so a shift by one looks
/// correct; therefore each script is called with a serial number as its last argument, which its reply repeats.
/// Thread safety: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

/// The serial number of an exchange; its command number i has serial + i. It wraps around, which is safe because fewer
/// commands are in flight. At most five digits, so that a script's reply is usually a string without heap memory.
using Serial = std::uint16_t;

[[nodiscard]] constexpr Serial serial_of(Serial exchange, std::size_t command) noexcept {
  return static_cast<Serial>(exchange + command);
}

/// Whether `reply` can be the reply to `command`, which was sent with `serial`. Removes the serial number from a
/// script's reply, which becomes an integer or an array of integers. Error replies have no serial number; those that
/// Redis returns to such commands are accepted.
[[nodiscard]] bool take_answer(const Command& command, Serial serial, Reply& reply);

}  // namespace tollgate::inline v0
