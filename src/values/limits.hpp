/// How long texts may be: those of a caller, on which the checks of arguments and the room for keys agree, and hosts.
/// Thread safety: constants.
#pragma once

#include <cstddef>

namespace tollgate::inline v0 {

inline constexpr std::size_t kMaxUserIdBytes = 512;
inline constexpr std::size_t kMaxKeyPrefixBytes = 512;
inline constexpr std::size_t kMaxOperationIdBytes = 128;
inline constexpr std::size_t kMaxLimitNameBytes = 64;
inline constexpr std::size_t kMaxHostBytes = 255;

}  // namespace tollgate::inline v0
