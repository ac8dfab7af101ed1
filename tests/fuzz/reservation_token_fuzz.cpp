// Reservation tokens: any bytes are refused with std::invalid_argument, what was encoded is decoded, and no changed
// token is taken for a genuine one.
#include <stdexcept>
#include <string>

#include "doors/reservation_token.hpp"
#include "fuzz/fuzz.hpp"
#include "values/limits.hpp"

namespace tollgate::fuzz {
namespace {

bool is_refused(std::string_view token, const RateLimitConfig& config) {
  try {
    static_cast<void>(ReservationToken::decode(token, config));
    return false;
  } catch (const std::invalid_argument& error) {
    const std::string_view message = error.what();
    require(message.starts_with("tollgate: token is "), "an error names the field");
    const std::string& secret = config.token_secret;
    require(secret.empty() || message.find(secret) == std::string_view::npos, "an error never shows the secret");
    return true;
  }
}

/// 1 … longest bytes.
std::string name(Input& input, std::size_t longest) {
  std::string text = input.text().substr(0, longest);
  return text.empty() ? "x" : text;
}

std::int64_t tokens(Input& input) { return input.integer() & kMaxTokens; }

void run(const std::uint8_t* data, std::size_t size) {
  Input input{data, size};
  RateLimitConfig config;
  RateLimitConfig others = config;
  others.token_secret = "open, sesame; 16+";  // nothing that an escape such as \x00 could spell

  // Under a secret that the input does not contain, every token is rejected.
  const std::string_view raw{reinterpret_cast<const char*>(data), size};
  require(is_refused(raw, others), "a token made without the secret is refused");
  static_cast<void>(is_refused(raw, config));

  ReservationToken token;
  token.user_id = name(input, kMaxUserIdBytes);
  token.id = name(input, kMaxOperationIdBytes);
  token.first_window.number = input.integer();
  token.window.number = input.integer();
  token.held = tokens(input);
  token.earlier = tokens(input);
  const std::string text = token.encode(config);
  const ReservationToken decoded = ReservationToken::decode(text, config);
  require(decoded.user_id == token.user_id && decoded.id == token.id && decoded.window == token.window &&
              decoded.held == token.held && decoded.earlier == token.earlier,
          "what was encoded is decoded");
  require(is_refused(text, others), "a token of another secret is refused");
  others.token_secret.clear();
  others.key_prefix += 'x';
  require(is_refused(text, others), "a token of another key_prefix is refused");

  std::string changed = text;
  const std::size_t at = static_cast<std::uint64_t>(input.integer()) % changed.size();
  const std::string_view rest = input.rest();
  changed.replace(at, std::min<std::size_t>(rest.size(), 8), rest.substr(0, 8));
  require(changed == text || is_refused(changed, config), "a changed token is refused");
  require(is_refused(text.substr(0, at), config), "a part of a token is refused");
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::run(data, size);
  return 0;
}
