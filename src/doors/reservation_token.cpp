#include "doors/reservation_token.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "values/arguments.hpp"
#include "values/digest.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0 {
namespace {

constexpr std::string_view kStart = "tg2.";
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::size_t kFingerprintBytes = 8;
constexpr std::size_t kTagBytes = 16;

/// Guards against damage only, as RateLimitConfig::token_secret says.
constexpr std::string_view kKeyWithoutSecret = "tollgate reservation token, without a secret";

/// A token holds a user id, so the message has its length alone.
[[noreturn]] void reject(std::string_view token, std::string_view why) {
  throw std::invalid_argument(fmt::format(
      "tollgate: token is {} bytes long; {}; it must be what Reservation::token() made", token.size(), why));
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char character : bytes) {
    const auto byte = static_cast<unsigned char>(character);
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 15U];
  }
  return hex;
}

/// Lower case only, so that a token can be written in one way.
std::optional<std::string> from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]);
    const int low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

void append_number(std::string& out, std::uint64_t number, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out += static_cast<char>(number >> (8 * i) & 0xFFU);
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, text.size(), 2);
  out += text;
}

/// Reads fields from the front of a payload. When one is missing, it and all later ones are empty and `whole` is false.
struct Reader {
  std::string_view rest;
  bool whole = true;

  std::string_view bytes(std::size_t count) {
    whole = whole && count <= rest.size();
    if (!whole) return {};
    const std::string_view taken = rest.substr(0, count);
    rest.remove_prefix(count);
    return taken;
  }
  std::uint64_t number(std::size_t count) {
    std::uint64_t value = 0;
    for (const char character : bytes(count)) value = value << 8U | static_cast<unsigned char>(character);
    return value;
  }
  std::string text() { return std::string{bytes(static_cast<std::size_t>(number(2)))}; }
  std::int64_t integer() { return static_cast<std::int64_t>(number(8)); }
};

std::string first_bytes(const Sha256Digest& digest, std::size_t count) {
  return {digest.begin(), digest.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// Distinguishes a token of another key_prefix from a damaged one. It authenticates nothing.
std::string fingerprint(std::string_view key_prefix) { return first_bytes(sha256(key_prefix), kFingerprintBytes); }

std::string tag(std::string_view payload, const RateLimitConfig& config) {
  std::string message;
  append_text(message, config.key_prefix);
  message += payload;
  return first_bytes(hmac_sha256(config.token_secret.empty() ? kKeyWithoutSecret : config.token_secret, message),
                     kTagBytes);
}

/// Compares in constant time, so that a tag cannot be guessed byte by byte.
bool same_tag(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace

std::string ReservationToken::encode(const RateLimitConfig& config) const {
  std::string payload = fingerprint(config.key_prefix);
  append_text(payload, user_id);
  append_text(payload, id);
  for (const std::int64_t number : {first_window.number, window.number, held, earlier}) {
    append_number(payload, static_cast<std::uint64_t>(number), sizeof number);
  }
  return std::string{kStart} + to_hex(payload) + '.' + to_hex(tag(payload, config));
}

ReservationToken ReservationToken::decode(std::string_view token, const RateLimitConfig& config) {
  if (token.size() > kMaxTokenBytes) reject(token, fmt::format("that is more than {}", kMaxTokenBytes));
  if (!token.starts_with(kStart)) reject(token, "it does not start with tg2.");
  const std::string_view body = token.substr(kStart.size());
  const std::size_t dot = body.find('.');
  const auto payload = from_hex(body.substr(0, dot));
  const auto token_tag = dot != std::string_view::npos ? from_hex(body.substr(dot + 1)) : std::nullopt;
  if (!payload || !token_tag) reject(token, "it is not two parts of hex digits");

  Reader reader{*payload};
  const std::string_view token_fingerprint = reader.bytes(kFingerprintBytes);
  ReservationToken fields;
  fields.user_id = reader.text();
  fields.id = reader.text();
  fields.first_window.number = reader.integer();
  fields.window.number = reader.integer();
  fields.held = reader.integer();
  fields.earlier = reader.integer();
  if (!reader.whole || !reader.rest.empty()) reject(token, "it is damaged: its fields do not fit its length");

  if (!same_tag(*token_tag, tag(*payload, config))) {
    if (token_fingerprint != fingerprint(config.key_prefix)) {
      reject(token, fmt::format("it is damaged or belongs to another key_prefix than {}",
                                detail::printable(config.key_prefix)));
    }
    reject(token, "it is damaged, forged, or made under another token_secret");
  }

  // Without a secret a token can be forged, so its fields are checked too.
  const auto is_within = [](auto value, auto low, auto high) { return value >= low && value <= high; };
  if (!is_within(fields.user_id.size(), std::size_t{1}, kMaxUserIdBytes) ||
      !is_within(fields.id.size(), std::size_t{1}, kMaxOperationIdBytes) ||
      !is_within(fields.held, std::int64_t{0}, kMaxTokens) || !is_within(fields.earlier, std::int64_t{0}, kMaxTokens)) {
    reject(token, "it is forged: a field is out of range");
  }
  return fields;
}

std::string ReservationToken::random_id() {
  std::array<char, 16> bytes{};
  if (getentropy(bytes.data(), bytes.size()) != 0) {
    throw std::system_error(errno, std::generic_category(), "tollgate: getentropy");
  }
  return to_hex({bytes.data(), bytes.size()});
}

}  // namespace tollgate::inline v0
