#include "doors/reservation_token.hpp"

#include <cstddef>

#include "doors/signed_text.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0 {
namespace {

Signature signature(const RateLimitConfig& config) {
  constexpr std::size_t kMaxTokenBytes = 4096;
  return {.start = "tg2.",
          .key_prefix = config.key_prefix,
          .secret = config.token_secret,
          .most_bytes = kMaxTokenBytes,
          .maker = "Reservation::token()"};
}

}  // namespace

std::string ReservationToken::encode(const RateLimitConfig& config) const {
  FieldWriter fields;
  fields.text(user_id);
  fields.text(id);
  for (const std::int64_t number : {first_window.number, window.number, held, earlier}) fields.integer(number);
  return sign(fields, signature(config));
}

ReservationToken ReservationToken::decode(std::string_view token, const RateLimitConfig& config) {
  const Signature expected = signature(config);
  FieldReader reader = read_signed(token, expected);
  ReservationToken fields;
  fields.user_id = reader.text();
  fields.id = reader.text();
  fields.first_window.number = reader.integer();
  fields.window.number = reader.integer();
  fields.held = reader.integer();
  fields.earlier = reader.integer();
  if (!reader.is_complete()) reject_signed(token, expected, kNoSuchFields);

  // Without a secret a token can be forged, so its fields are checked too.
  const auto is_within = [](auto value, auto low, auto high) { return value >= low && value <= high; };
  if (!is_within(fields.user_id.size(), std::size_t{1}, kMaxUserIdBytes) ||
      !is_within(fields.id.size(), std::size_t{1}, kMaxOperationIdBytes) ||
      !is_within(fields.held, std::int64_t{0}, kMaxTokens) || !is_within(fields.earlier, std::int64_t{0}, kMaxTokens)) {
    reject_signed(token, expected, "it is forged: a field is out of range");
  }
  return fields;
}

}  // namespace tollgate::inline v0
