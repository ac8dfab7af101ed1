/// The hash slots of Redis Cluster: all keys of one script must lie in the same.
/// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model
/// Thread safety: plain functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tollgate::inline v0 {

inline constexpr std::uint16_t kHashSlots = 16384;

/// CRC-16/XMODEM, continued from `before`: crc16(a + b) = crc16(b, crc16(a)).
[[nodiscard]] std::uint16_t crc16(std::string_view text, std::uint16_t before = 0) noexcept;

/// The hash tag of a key: the text between its first `{` and the first `}` after it, when that is not empty.
/// Nothing: the whole key is hashed.
[[nodiscard]] std::optional<std::string_view> hash_tag(std::string_view key) noexcept;

/// 0 … kHashSlots - 1
[[nodiscard]] std::uint16_t hash_slot(std::string_view key) noexcept;

/// Four characters `@` … `O` that continue a text whose CRC is `before` so that its CRC names `slot`. There always are
/// four: CRC is linear, so that each of their 16 free bits changes it by a value of its own, and these span all slots.
using SlotPadding = std::array<char, 4>;
[[nodiscard]] SlotPadding pad_to_slot(std::uint16_t before, std::uint16_t slot) noexcept;

}  // namespace tollgate::inline v0
