/// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), so that tollgate needs no crypto library for its tokens.
/// Thread safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tollgate::inline v0 {

using Sha256Digest = std::array<std::uint8_t, 32>;

[[nodiscard]] Sha256Digest sha256(std::string_view message);

/// `key` may have any length.
[[nodiscard]] Sha256Digest hmac_sha256(std::string_view key, std::string_view message);

}  // namespace tollgate::inline v0
