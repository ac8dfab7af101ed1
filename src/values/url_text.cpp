#include "values/url_text.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace tollgate::inline v0::detail {
namespace {

bool is_digit(char character) noexcept { return character >= '0' && character <= '9'; }
bool is_lower(char character) noexcept { return character >= 'a' && character <= 'z'; }
char lower(char character) noexcept {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

int hex_digit(char character) noexcept {
  if (is_digit(character)) return character - '0';
  const char letter = lower(character);
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

}  // namespace

std::string to_lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_unreserved(char character) noexcept {
  return is_digit(character) || is_lower(lower(character)) || std::string_view{"-._~"}.find(character) < 4;
}

std::string decode_percent(std::string_view part, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char character = text[i];
    if (character == '%') {
      const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) reject_url("{} has a % without two hex digits; write % itself as %25", part);
      character = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (character == '\0') reject_url("{} has a NUL byte; it must have none", part);
    out += character;
  }
  return out;
}

std::string encode_percent(std::string_view text, std::string_view plain) {
  std::string out;
  for (const char character : text) {
    const bool stays = is_unreserved(character) || plain.find(character) != std::string_view::npos;
    out += stays ? std::string(1, character) : fmt::format("%{:02X}", static_cast<unsigned char>(character));
  }
  return out;
}

std::int64_t url_number(std::string_view part, std::string_view text, std::int64_t low, std::int64_t high) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) {
    reject_url("{} is not a decimal number; it must be {} … {}", part, low, high);
  }
  std::int64_t value = 0;
  const auto error = std::from_chars(text.data(), text.data() + text.size(), value).ec;
  if (error == std::errc{} && low <= value && value <= high) return value;
  // A number longer than any valid value may be a password of digits.
  if (text.size() > fmt::formatted_size("{}", high)) {
    reject_url("{} has {} digits; it must be {} … {}", part, text.size(), low, high);
  }
  reject_url("{} is {}; it must be {} … {}", part, text, low, high);
}

std::string_view take_until(std::string_view& text, std::string_view separators) noexcept {
  const std::string_view taken = text.substr(0, text.find_first_of(separators));
  text.remove_prefix(taken.size());
  return taken;
}

}  // namespace tollgate::inline v0::detail
