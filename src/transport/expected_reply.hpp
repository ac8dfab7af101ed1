/// Keeps a connection in step: says of each reply whether it can be the answer to the command whose turn it is. One
/// reply lost or invented on the way shifts all that follow, and every caller would be given another's answer.
///
/// A shift among INCRBY and EXPIRE shows by kind and range. A script has one reply, so a shift by one is a whole
/// exchange: it is called with a serial number as its last argument, and its answer ends in it. Thread safety:
/// functions without state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

/// The serial number of an exchange; its command number i is signed with serial + i. Wraps around: what is on its way
/// is bounded to far fewer. At most five digits, so that a script's answer is usually a string without heap memory.
using Serial = std::uint16_t;

[[nodiscard]] constexpr Serial serial_of(Serial exchange, std::size_t command) noexcept {
  return static_cast<Serial>(exchange + command);
}

/// Whether `reply` can answer `command`, which was signed with `serial`. Of a script's answer only its numbers are
/// left: an integer, or an array of them. Error replies carry no serial number: one that is said to such commands is
/// taken.
[[nodiscard]] bool take_answer(const Command& command, Serial serial, Reply& reply);

}  // namespace tollgate::inline v0
