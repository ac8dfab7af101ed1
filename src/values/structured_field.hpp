/// Serialises items of structured fields for HTTP (RFC 9651).
/// Thread safety: plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tollgate::inline v0 {

/// Whether a String can hold this text: bytes 0x20 … 0x7e alone.
[[nodiscard]] bool is_printable_ascii(std::string_view text) noexcept;

/// A String. `text` must be printable ASCII. What it returns is a string of JSON too.
[[nodiscard]] std::string structured_string(std::string_view text);

/// An Integer. They have 15 digits at most: larger numbers become the largest, 999'999'999'999'999, and smaller ones
/// the smallest.
[[nodiscard]] std::string structured_integer(std::int64_t number);

/// A Byte Sequence.
[[nodiscard]] std::string structured_bytes(std::string_view bytes);

}  // namespace tollgate::inline v0
