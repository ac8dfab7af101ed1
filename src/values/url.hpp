/// Where a Redis is and how to log in, read from a URL. A plain value; its passwords are in no text that it makes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "values/endpoint.hpp"

namespace tollgate::inline v0 {

/// How the servers behind a URL belong together.
enum class Topology : std::uint8_t { kStandalone, kSentinel, kCluster };

struct HostAndPort {
  std::string host;  ///< a name or an address, without brackets
  std::uint16_t port = 6379;

  bool operator==(const HostAndPort&) const = default;

  /// `host:port`, as a URL writes it.
  [[nodiscard]] std::string to_string() const;
};

/// The forms of a URL, with [ ] around what may be left out:
///
///     redis://[[user][:password]@]host[:port][/db]                              one server
///     unix://[[user][:password]@]/path/of.sock                                  one server, by a Unix socket
///     memory://                                                                 a store inside this process
///     redis+sentinel://[[user][:password]@]host[:port],…/service[/db]           the primary that the sentinels name
///     redis+cluster://[[user][:password]@]host[:port],…                         a Redis Cluster
///
/// `rediss` in place of `redis` is TLS; `valkey` and `valkeys` are synonyms of `redis` and `rediss`. The default port
/// is 6379, of a sentinel 26379. IPv6 addresses stand in brackets; every part may be percent-encoded. No host at all
/// (`redis://`, `redis:///2`) is localhost; Sentinel and Cluster require 1 … 64 hosts, none of them twice.
/// `user@` and `:@` have no password, so that AUTH is not sent; `user:@` has an empty one, with which it is sent.
///
/// The query may hold each of these once: `connect_timeout_ms` and `command_timeout_ms`, 1 … 3'600'000; `db`, which
/// must not contradict a database in the path; with Sentinel `sentinel_user` and `sentinel_password`; with TLS
/// `ca_file`, `ca_path`, `cert_file`, `key_file` and `server_name`. A Cluster has database 0 alone.
class Url {
 public:
  enum class Scheme : std::uint8_t { kRedis, kRediss, kUnix, kMemory };

  /// Throws std::invalid_argument that names the part, its value (never a password) and its range. No I/O.
  [[nodiscard]] static Url parse(std::string_view text);

  [[nodiscard]] Scheme scheme() const noexcept { return scheme_; }  ///< without +sentinel and +cluster
  [[nodiscard]] Topology topology() const noexcept { return topology_; }
  [[nodiscard]] bool is_encrypted() const noexcept { return scheme_ == Scheme::kRediss; }  ///< every connection
  /// The servers, sentinels or nodes named, at least one; with `unix` and `memory` one with an empty host.
  [[nodiscard]] const std::vector<HostAndPort>& hosts() const noexcept { return hosts_; }
  [[nodiscard]] const std::string& host() const noexcept { return hosts_.front().host; }
  [[nodiscard]] std::uint16_t port() const noexcept { return hosts_.front().port; }  ///< 1 … 65535
  [[nodiscard]] const std::string& path() const noexcept { return path_; }           ///< of the Unix socket
  [[nodiscard]] const std::string& service() const noexcept { return service_; }     ///< of Sentinel, 1 … 255 bytes
  [[nodiscard]] int database() const noexcept { return database_; }                  ///< 0 … 2^31 - 1, default 0
  [[nodiscard]] const std::string& username() const noexcept {
    return username_;
  }  ///< empty = Redis's default user; counts only beside a password
  [[nodiscard]] const std::optional<std::string>& password() const noexcept { return password_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> connect_timeout() const noexcept { return connect_timeout_; }
  [[nodiscard]] std::optional<std::chrono::milliseconds> command_timeout() const noexcept { return command_timeout_; }
  /// What the query names; fields that it does not name are empty. `verify` is always true.
  [[nodiscard]] const TlsOptions& tls() const noexcept { return tls_; }

  /// Of the first host, or of the Unix socket.
  [[nodiscard]] Endpoint endpoint() const {
    return {.name = to_string(), .host = host(), .port = port(), .socket_path = path_, .is_encrypted = is_encrypted()};
  }
  /// For Redis itself. `credentials` wins over the user and password here.
  [[nodiscard]] Login login(std::function<Credentials()> credentials) const {
    Login login{.credentials = std::move(credentials), .database = database_};
    if (password_) login.fixed = Credentials{username_, *password_};
    return login;
  }
  /// For the sentinels, which have users of their own.
  [[nodiscard]] Login sentinel_login() const {
    Login login;
    if (sentinel_password_) login.fixed = Credentials{sentinel_username_, *sentinel_password_};
    return login;
  }

  bool operator==(const Url&) const = default;

  /// `redis://host:port/db`, `unix:///path?db=N`, `memory://`, `redis+sentinel://host:port,host:port/service/db` or
  /// `redis+cluster://host:port,host:port`: for messages. Neither users nor passwords, nor the other parameters.
  [[nodiscard]] std::string to_string() const;

 private:
  Scheme scheme_ = Scheme::kRedis;
  Topology topology_ = Topology::kStandalone;
  std::vector<HostAndPort> hosts_ = std::vector<HostAndPort>(1);
  std::string path_;
  std::string service_;
  int database_ = 0;
  std::string username_;
  std::optional<std::string> password_;
  std::string sentinel_username_;
  std::optional<std::string> sentinel_password_;
  std::optional<std::chrono::milliseconds> connect_timeout_;
  std::optional<std::chrono::milliseconds> command_timeout_;
  TlsOptions tls_;

  friend class UrlParser;
};

}  // namespace tollgate::inline v0
