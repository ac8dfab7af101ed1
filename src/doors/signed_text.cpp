#include "doors/signed_text.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <stdexcept>
#include <utility>

#include "doors/digests.hpp"
#include "values/arguments.hpp"

namespace tollgate::inline v0 {
namespace {

constexpr std::size_t kFingerprintBytes = 8;
constexpr std::size_t kTagBytes = 16;

/// Guards against damage only.
constexpr std::string_view kKeyWithoutSecret = "tollgate reservation token, without a secret";

/// Distinguishes a text of another key_prefix from a damaged one. It authenticates nothing.
std::string fingerprint(std::string_view key_prefix) { return first_bytes(sha256(key_prefix), kFingerprintBytes); }

std::string tag(std::string_view payload, const Signature& signature) {
  FieldWriter message;
  message.text(signature.key_prefix);
  return first_bytes(hmac_sha256(signature.secret.empty() ? kKeyWithoutSecret : signature.secret,
                                 message.fields() + std::string{payload}),
                     kTagBytes);
}

/// Compares in constant time, so that a tag cannot be guessed byte by byte.
bool same_tag(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace

void reject_signed(std::string_view text, const Signature& signature, std::string_view why) {
  throw std::invalid_argument(
      fmt::format("tollgate: token is {} bytes long; {}; it must be what {} made", text.size(), why, signature.maker));
}

std::string sign(const FieldWriter& fields, const Signature& signature) {
  const std::string payload = fingerprint(signature.key_prefix) + fields.fields();
  return std::string{signature.start} + to_hex(payload) + '.' + to_hex(tag(payload, signature));
}

FieldReader read_signed(std::string_view text, const Signature& signature) {
  if (text.size() > signature.most_bytes)
    reject_signed(text, signature, fmt::format("that is more than {}", signature.most_bytes));
  if (!text.starts_with(signature.start)) {
    reject_signed(text, signature, fmt::format("it does not start with {}", signature.start));
  }
  const std::string_view body = text.substr(signature.start.size());
  const std::size_t dot = body.find('.');
  auto payload = from_hex(body.substr(0, dot));
  const auto text_tag = dot != std::string_view::npos ? from_hex(body.substr(dot + 1)) : std::nullopt;
  if (!payload || !text_tag) reject_signed(text, signature, "it is not two parts of hex digits");
  if (payload->size() < kFingerprintBytes) reject_signed(text, signature, kNoSuchFields);

  if (!same_tag(*text_tag, tag(*payload, signature))) {
    if (!payload->starts_with(fingerprint(signature.key_prefix))) {
      reject_signed(text, signature,
                    fmt::format("it is damaged or belongs to another key_prefix than {}",
                                detail::printable(signature.key_prefix)));
    }
    reject_signed(text, signature, "it is damaged, forged, or made under another token_secret");
  }
  return FieldReader{payload->substr(kFingerprintBytes)};
}

}  // namespace tollgate::inline v0
