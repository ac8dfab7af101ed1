// Url::parse: takes any bytes, throws std::invalid_argument alone, never shows a password, and reads what it wrote.
#include <optional>
#include <stdexcept>
#include <string>

#include "fuzz/fuzz.hpp"
#include "values/url.hpp"

namespace tollgate::fuzz {
namespace {

std::optional<Url> parse(const std::string& text, std::string_view secret) {
  try {
    return Url::parse(text);
  } catch (const std::invalid_argument& error) {
    const std::string_view message = error.what();
    require(message.starts_with("tollgate: url "), "an error names the field");
    require(message.size() < 300, "an error is short");
    require(message.find(secret) == std::string_view::npos, "an error never shows a password");
    return std::nullopt;
  }
}

void check(const std::string& text, std::string_view secret) {
  const std::optional<Url> url = parse(text, secret);
  if (!url) return;
  require(!url->hosts().empty(), "a place has a host");
  for (const HostAndPort& server : url->hosts()) require(server.port >= 1, "a port is 1 or more");
  require(url->database() >= 0, "a database is 0 or more");
  const std::string written = url->to_string();
  // Behind an @ the secret is no password, but a part of the place.
  std::string place = url->path() + ' ' + url->service();
  for (const HostAndPort& server : url->hosts()) place += ' ' + server.host;
  const bool is_place = place.find(secret) != std::string::npos;
  require(is_place || written.find(secret) == std::string::npos, "a URL is written without its password");
  const std::optional<Url> again = parse(written, secret);
  require(again && again->scheme() == url->scheme() && again->topology() == url->topology() &&
              again->hosts() == url->hosts() && again->path() == url->path() && again->service() == url->service() &&
              again->database() == url->database(),
          "what was written is read as the same place");
  require(again->username().empty() && !again->password() && !again->sentinel_login().fixed,
          "a URL is written without credentials");
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view kSecret = "S3cr3t-W0rd";
  tollgate::fuzz::Input input{data, size};
  const std::string text{input.rest()};
  if (text.find(kSecret) == std::string::npos) tollgate::fuzz::check(text, kSecret);

  // The same with a password that has the rest of the input on either side of it.
  for (const std::string_view scheme :
       {"redis://", "rediss://", "valkey://", "redis+cluster://", "rediss+sentinel://", "unix://"}) {
    const std::size_t half = text.size() / 2;
    std::string url{scheme};
    url.append("app:").append(text, 0, half).append(kSecret).append(text, half);
    tollgate::fuzz::check(url, kSecret);
    tollgate::fuzz::check(url + "@cache:6380/1", kSecret);
    tollgate::fuzz::check(url + "@a:1,b/main?sentinel_password=" + kSecret.data(), kSecret);
  }
  return 0;
}
