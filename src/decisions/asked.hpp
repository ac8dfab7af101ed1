/// What a request sent to Redis. Thread safety: a plain value.
#pragma once

#include <cstdint>

namespace tollgate::inline v0::decisions {

/// Charges past the limit are not counted here.
enum class Asked : std::uint8_t { kNothing, kPeek, kCharge };

}  // namespace tollgate::inline v0::decisions
