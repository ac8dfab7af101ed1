/// How long the texts of a caller may be: the checks of arguments and the room for keys agree on these.
/// Thread safety: constants.
#pragma once

#include <cstddef>

namespace tollgate::inline v0 {

inline constexpr std::size_t kMaxUserIdBytes = 512;
inline constexpr std::size_t kMaxKeyPrefixBytes = 512;
inline constexpr std::size_t kMaxOperationIdBytes = 128;

}  // namespace tollgate::inline v0
