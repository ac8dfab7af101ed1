/// SHA-256 and HMAC-SHA-256, by OpenSSL. Each throws std::runtime_error when OpenSSL fails, which happens only when it
/// cannot allocate or has no provider of SHA-256.
/// Thread safety: plain functions.
#pragma once

#include <array>
#include <string_view>

namespace tollgate::inline v0 {

using Sha256Digest = std::array<char, 32>;

[[nodiscard]] Sha256Digest sha256(std::string_view message);
[[nodiscard]] Sha256Digest hmac_sha256(std::string_view key, std::string_view message);

}  // namespace tollgate::inline v0
