#include "tollgate/connect.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "clients/hiredis_client.hpp"
#include "clients/memory_client.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {
namespace {

std::chrono::milliseconds checked_timeout(const char* field, std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours{1};
  if (timeout.count() < 1 || timeout > kLongest) {
    throw std::invalid_argument(
        fmt::format("tollgate: {} is {} ms; it must be 1 … {} ms", field, timeout.count(), kLongest.count()));
  }
  return timeout;
}

}  // namespace

std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options) {
  const Url parsed = Url::parse(url);
  options.connect_timeout =
      checked_timeout("connect_timeout", parsed.connect_timeout().value_or(options.connect_timeout));
  options.command_timeout =
      checked_timeout("command_timeout", parsed.command_timeout().value_or(options.command_timeout));
  if (parsed.scheme() == Url::Scheme::kMemory) return std::make_shared<MemoryClient>(options.clock);
  if (parsed.scheme() == Url::Scheme::kRediss) {
    throw std::invalid_argument(
        fmt::format("tollgate: url is {}, but this build has no TLS; its scheme must be redis, unix or memory",
                    parsed.to_string()));
  }
  return std::make_shared<HiredisClient>(parsed, options);
}

}  // namespace tollgate::inline v0
