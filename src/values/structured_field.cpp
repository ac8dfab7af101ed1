#include "values/structured_field.hpp"

#include <algorithm>
#include <cstddef>

namespace tollgate::inline v0 {

bool is_printable_ascii(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char character) { return character >= ' ' && character <= '~'; });
}

std::string structured_string(std::string_view text) {
  std::string out = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') out += '\\';
    out += character;
  }
  return out += '"';
}

std::string structured_integer(std::int64_t number) {
  constexpr std::int64_t kLargest = 999'999'999'999'999;
  return std::to_string(std::clamp(number, -kLargest, kLargest));
}

std::string structured_bytes(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = ":";
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8U | (k < group.size() ? static_cast<unsigned char>(group[k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) out += k <= group.size() ? kDigits[bits >> (18U - 6U * k) & 63U] : '=';
  }
  return out += ':';
}

}  // namespace tollgate::inline v0
