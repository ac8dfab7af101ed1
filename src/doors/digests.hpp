/// SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104) by OpenSSL, and bytes as lower-case hex digits.
/// Thread safety: plain functions.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace tollgate::inline v0 {

using Sha256Digest = std::array<unsigned char, 32>;

// Both throw std::runtime_error when OpenSSL refuses.
[[nodiscard]] Sha256Digest sha256(std::string_view message);
[[nodiscard]] Sha256Digest hmac_sha256(std::string_view key, std::string_view message);

[[nodiscard]] std::string first_bytes(const Sha256Digest& digest, std::size_t count);

[[nodiscard]] std::string to_hex(std::string_view bytes);
/// Lower case only, so that a text can be written in one way.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view hex);

/// 128 bits of the operating system's randomness, in hex. Throws std::system_error.
[[nodiscard]] std::string random_id();

}  // namespace tollgate::inline v0
