/// Where a Redis is and how to log in, read from a URL. A plain value; its password is in no text that it makes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "values/endpoint.hpp"

namespace tollgate::inline v0 {

/// `redis://[[user][:password]@]host[:port][/db]`, `rediss://…` (the same over TLS), `unix:///path/redis.sock` or
/// `memory://`. `valkey://` and `valkeys://` are synonyms of `redis://` and `rediss://`. IPv6 addresses stand in
/// brackets; every part may be percent-encoded. The query may hold `connect_timeout_ms` and `command_timeout_ms`,
/// 1 … 3'600'000 each, and `db`, which must not contradict a database in the path.
/// No host at all (`redis://`, `redis:///2`) is localhost; `unix://user:password@/path` logs in on a Unix socket.
/// `user@` and `:@` have no password, so that AUTH is not sent; `user:@` has an empty one, with which it is sent.
class Url {
 public:
  enum class Scheme : std::uint8_t { kRedis, kRediss, kUnix, kMemory };

  /// Throws std::invalid_argument that names the part, its value (never the password) and its range. No I/O.
  [[nodiscard]] static Url parse(std::string_view text);

  [[nodiscard]] Scheme scheme() const noexcept { return scheme_; }
  [[nodiscard]] const std::string& host() const noexcept { return host_; }  ///< without brackets
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }       ///< 1 … 65535, default 6379
  [[nodiscard]] const std::string& path() const noexcept { return path_; }  ///< of the Unix socket
  [[nodiscard]] int database() const noexcept { return database_; }         ///< 0 … 2^31 - 1, default 0
  [[nodiscard]] const std::string& username() const noexcept {
    return username_;
  }  ///< empty = Redis's default user; counts only beside a password
  [[nodiscard]] const std::optional<std::string>& password() const noexcept { return password_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> connect_timeout() const noexcept { return connect_timeout_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> command_timeout() const noexcept { return command_timeout_; }

  /// For the schemes `redis`, `rediss` and `unix`.
  [[nodiscard]] Endpoint endpoint() const { return {to_string(), host_, port_, path_, scheme_ == Scheme::kRediss}; }
  /// `credentials` wins over the user and password here.
  [[nodiscard]] Login login(std::function<Credentials()> credentials) const {
    Login login{.credentials = std::move(credentials), .database = database_};
    if (password_) login.fixed = Credentials{username_, *password_};
    return login;
  }

  bool operator==(const Url&) const = default;

  /// `redis://host:port/db`, `unix:///path?db=N` or `memory://`: for messages. Neither user nor password.
  [[nodiscard]] std::string to_string() const;

 private:
  Scheme scheme_ = Scheme::kRedis;
  std::string host_;
  std::uint16_t port_ = 6379;
  std::string path_;
  int database_ = 0;
  std::string username_;
  std::optional<std::string> password_;
  std::optional<std::chrono::milliseconds> connect_timeout_;
  std::optional<std::chrono::milliseconds> command_timeout_;

  friend class UrlParser;
};

}  // namespace tollgate::inline v0
