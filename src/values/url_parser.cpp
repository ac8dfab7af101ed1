// Url::parse.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <climits>
#include <limits>
#include <utility>

#include "values/arguments.hpp"
#include "values/limits.hpp"
#include "values/url.hpp"
#include "values/url_text.hpp"

namespace tollgate::inline v0 {
namespace {

using detail::decode_percent;
using detail::is_unreserved;
using detail::reject_url;
using detail::take_until;
using detail::url_number;

constexpr std::int64_t kMaxTimeoutMs = 3'600'000;
constexpr std::size_t kMaxHosts = 64;
constexpr std::size_t kMaxServiceBytes = 255;
constexpr std::size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::uint16_t kRedisPort = 6379;
constexpr std::uint16_t kSentinelPort = 26379;

bool is_host_character(char character) { return is_unreserved(character) || static_cast<signed char>(character) < 0; }

int database_number(std::string_view part, std::string_view text) {
  return static_cast<int>(url_number(part, text, 0, std::numeric_limits<std::int32_t>::max()));
}

/// An address, and perhaps the zone of a link-local one behind a percent sign (RFC 6874).
bool is_ipv6_address(const std::string& host) {
  const std::size_t percent = host.find('%');
  const std::string address = host.substr(0, percent);
  in6_addr parsed{};
  if (inet_pton(AF_INET6, address.c_str(), &parsed) != 1) return false;
  if (percent == std::string::npos) return true;
  const std::string_view zone = std::string_view{host}.substr(percent + 1);
  return !zone.empty() && std::all_of(zone.begin(), zone.end(), is_unreserved);
}

HostAndPort parse_host(std::string_view text, std::uint16_t default_port) {
  HostAndPort server{{}, default_port};
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) reject_url("host has a [ without a ]");
    server.host = decode_percent("host", text.substr(1, close - 1));
    if (!is_ipv6_address(server.host)) reject_url("host in [ ] is not an IPv6 address");
    text.remove_prefix(close + 1);
    if (!text.empty() && text.front() != ':')
      reject_url("host has characters after its ]; it must end there or at :port");
  } else {
    if (std::count(text.begin(), text.end(), ':') > 1) {
      reject_url("host has more than one colon; it must be host or host:port, with an IPv6 address in [ ]");
    }
    server.host = decode_percent("host", take_until(text, ":"));
    if (server.host.empty() || server.host.size() > kMaxHostBytes) {
      reject_url("host is {} bytes long; it must be 1 … {} bytes", server.host.size(), kMaxHostBytes);
    }
    if (!std::all_of(server.host.begin(), server.host.end(), is_host_character)) {
      reject_url("host has an invalid character; it must be a name or an address");
    }
  }
  if (!text.empty()) server.port = static_cast<std::uint16_t>(url_number("port", text.substr(1), 1, 65'535));
  return server;
}

}  // namespace

class UrlParser {
 public:
  static Url parse(std::string_view text) {
    UrlParser parser;
    parser.read_scheme(text);
    switch (parser.url_.scheme_) {
      case Url::Scheme::kMemory: read_memory(text); break;
      case Url::Scheme::kUnix: parser.read_unix(text); break;
      case Url::Scheme::kRedis:
      case Url::Scheme::kRediss: parser.read_network(text); break;
    }
    return std::move(parser.url_);
  }

 private:
  void read_scheme(std::string_view& text) {
    constexpr std::string_view kKnown =
        "it must start with redis://, rediss://, valkey:// or valkeys://, the same with +sentinel or +cluster before "
        "its colon, unix:// or memory://";
    const std::string_view scheme = text.substr(0, text.find("://"));
    if (scheme.size() == text.size()) reject_url("has no scheme; {}", kKnown);
    if (!set_scheme(detail::to_lower(scheme))) {
      const auto may_be_shown = [](char character) { return is_unreserved(character) || character == '+'; };
      if (scheme.empty() || !std::all_of(scheme.begin(), scheme.end(), may_be_shown)) {
        reject_url("has no scheme; {}", kKnown);
      }
      reject_url("scheme is {}; {}", detail::printable(scheme), kKnown);
    }
    text.remove_prefix(scheme.size() + std::string_view{"://"}.size());
  }

  /// False when there is no such scheme.
  bool set_scheme(std::string_view name) {
    constexpr std::array kSchemes{std::pair{std::string_view{"redis"}, Url::Scheme::kRedis},
                                  std::pair{std::string_view{"rediss"}, Url::Scheme::kRediss},
                                  std::pair{std::string_view{"valkey"}, Url::Scheme::kRedis},
                                  std::pair{std::string_view{"valkeys"}, Url::Scheme::kRediss},
                                  std::pair{std::string_view{"unix"}, Url::Scheme::kUnix},
                                  std::pair{std::string_view{"memory"}, Url::Scheme::kMemory}};
    const std::string_view base = take_until(name, "+");
    const auto* const known =
        std::find_if(kSchemes.begin(), kSchemes.end(), [&](const auto& entry) { return entry.first == base; });
    if (known == kSchemes.end()) return false;
    url_.scheme_ = known->second;
    if (name.empty()) return true;
    if (url_.scheme_ == Url::Scheme::kUnix || url_.scheme_ == Url::Scheme::kMemory) return false;
    if (name == "+sentinel") {
      url_.topology_ = Topology::kSentinel;
    } else if (name == "+cluster") {
      url_.topology_ = Topology::kCluster;
    } else {
      return false;
    }
    return true;
  }

  static void read_memory(std::string_view text) {
    if (!text.empty()) reject_url("has {} bytes behind memory://; nothing may follow it", text.size());
  }

  void read_unix(std::string_view text) {
    const std::string_view authority = take_until(text, "/?#");
    if (!authority.empty()) {
      if (authority.back() != '@') {
        reject_url(
            "path of the socket does not start with a slash; it must be unix:///path or unix://user:password@/path");
      }
      read_credentials(authority.substr(0, authority.size() - 1));
    }
    url_.path_ = decode_percent("path", take_until(text, "?#"));
    if (url_.path_.size() < 2 || url_.path_.size() > kMaxPathBytes) {
      reject_url("path of the socket is {} bytes long; it must be 2 … {} bytes", url_.path_.size(), kMaxPathBytes);
    }
    read_query(text);
    settle_database();
  }

  void read_network(std::string_view text) {
    std::string_view authority = take_until(text, "/?#");
    if (text.find('@') != std::string_view::npos) {
      reject_url("has an @ behind its host; write / ? # and @ in user and password as %2F %3F %23 and %40");
    }
    if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
      read_credentials(authority.substr(0, at));
      authority.remove_prefix(at + 1);
      read_hosts(authority);
    } else if (!authority.empty()) {
      read_hosts(authority);
    } else if (url_.topology_ == Topology::kStandalone) {
      url_.hosts_ = {{"localhost", kRedisPort}};
    } else {
      reject_url("has no host; with {} it must name 1 … {}, as in host:port,host:port",
                 url_.topology_ == Topology::kSentinel ? "+sentinel" : "+cluster", kMaxHosts);
    }
    std::string_view path = take_until(text, "?#");
    if (url_.topology_ == Topology::kSentinel) read_service(path);
    read_database(path);
    read_query(text);
    settle_database();
  }

  void read_credentials(std::string_view text) {
    if (text.empty()) return;
    if (text.find('@') != std::string_view::npos)
      reject_url("has more than one @; write @ in user and password as %40");
    const std::size_t colon = text.find(':');
    url_.username_ = decode_percent("user", text.substr(0, colon));
    // Neither `user@` nor `:@`, as templates write it when both are empty, has a password; `user:@` has an empty one.
    if (colon == std::string_view::npos || text == ":") return;
    url_.password_ = decode_percent("password", text.substr(colon + 1));
  }

  void read_hosts(std::string_view text) {
    const std::uint16_t port = url_.topology_ == Topology::kSentinel ? kSentinelPort : kRedisPort;
    const auto count = static_cast<std::size_t>(std::count(text.begin(), text.end(), ',')) + 1;
    if (count > 1 && url_.topology_ == Topology::kStandalone) {
      reject_url("has {} hosts; it must have 1, or +sentinel or +cluster in its scheme", count);
    }
    if (count > kMaxHosts) reject_url("has {} hosts; it must have 1 … {}", count, kMaxHosts);
    url_.hosts_.clear();
    while (url_.hosts_.size() < count) {
      HostAndPort server = parse_host(take_until(text, ","), port);
      if (!text.empty()) text.remove_prefix(1);
      const auto same = std::find(url_.hosts_.begin(), url_.hosts_.end(), server);
      if (same != url_.hosts_.end()) {
        reject_url("has the same host and port as number {} and {} of its hosts; each must be there once",
                   same - url_.hosts_.begin() + 1, url_.hosts_.size() + 1);
      }
      url_.hosts_.push_back(std::move(server));
    }
  }

  /// Takes `/service` from the path.
  void read_service(std::string_view& path) {
    if (!path.empty()) path.remove_prefix(1);
    url_.service_ = decode_percent("service", take_until(path, "/"));
    if (url_.service_.empty() || url_.service_.size() > kMaxServiceBytes) {
      reject_url("service is {} bytes long; with +sentinel it must be 1 … {} bytes, as in host:port,host:port/service",
                 url_.service_.size(), kMaxServiceBytes);
    }
  }

  void read_database(std::string_view path) {
    const std::string database = decode_percent("database", path);
    if (database.size() > 1) path_database_ = database_number("database", std::string_view{database}.substr(1));
  }

  void settle_database() {
    if (path_database_ && query_database_ && *path_database_ != *query_database_) {
      reject_url("has database {} in its path and {} in its query; it must have one of them, or the same twice",
                 *path_database_, *query_database_);
    }
    url_.database_ = path_database_ ? *path_database_ : query_database_.value_or(0);
    if (url_.topology_ == Topology::kCluster && url_.database_ != 0) {
      reject_url("database is {}; with +cluster it must be 0, because a Redis Cluster has no other", url_.database_);
    }
  }

  void read_query(std::string_view text) {
    if (text.find('#') != std::string_view::npos) reject_url("has a #; write it as %23");
    if (text.size() > 1) {
      text.remove_prefix(1);
      while (true) {
        std::string_view item = take_until(text, "&");
        const std::string name = decode_percent("query", take_until(item, "="));
        read_setting(name, item.empty() ? std::string{} : decode_percent("query", item.substr(1)));
        if (text.empty()) break;
        text.remove_prefix(1);
      }
    }
    if (has_sentinel_user_ && !url_.sentinel_password_) {
      reject_url("query has sentinel_user without sentinel_password; it must have both, or the password alone");
    }
  }

  void read_setting(std::string_view name, const std::string& value) {
    if (name == "connect_timeout_ms") return set_timeout(url_.connect_timeout_, name, value);
    if (name == "command_timeout_ms") return set_timeout(url_.command_timeout_, name, value);
    if (name == "db") {
      check_once(query_database_.has_value(), name);
      query_database_ = database_number(name, value);
      return;
    }
    if (!read_sentinel_setting(name, value) && !read_tls_setting(name, value)) reject_setting(name);
  }

  bool read_sentinel_setting(std::string_view name, const std::string& value) {
    if (name != "sentinel_user" && name != "sentinel_password") return false;
    if (url_.topology_ != Topology::kSentinel) reject_url("query has {}, but its scheme has no +sentinel", name);
    if (name == "sentinel_user") {
      check_once(std::exchange(has_sentinel_user_, true), name);
      url_.sentinel_username_ = value;
    } else {
      check_once(url_.sentinel_password_.has_value(), name);
      url_.sentinel_password_ = value;
    }
    return true;
  }

  bool read_tls_setting(std::string_view name, const std::string& value) {
    const std::array fields{std::pair{std::string_view{"ca_file"}, &url_.tls_.ca_file},
                            std::pair{std::string_view{"ca_path"}, &url_.tls_.ca_path},
                            std::pair{std::string_view{"cert_file"}, &url_.tls_.cert_file},
                            std::pair{std::string_view{"key_file"}, &url_.tls_.key_file},
                            std::pair{std::string_view{"server_name"}, &url_.tls_.server_name}};
    const auto* const field =
        std::find_if(fields.begin(), fields.end(), [&](const auto& entry) { return entry.first == name; });
    if (field == fields.end()) return false;
    if (!url_.is_encrypted()) reject_url("query has {}, but its scheme has no TLS; it must start with rediss", name);
    check_once(!field->second->empty(), name);
    const std::size_t longest = name == "server_name" ? kMaxHostBytes : PATH_MAX - 1;
    if (value.empty() || value.size() > longest) {
      reject_url("{} is {} bytes long; it must be 1 … {} bytes", name, value.size(), longest);
    }
    *field->second = value;
    return true;
  }

  [[noreturn]] void reject_setting(std::string_view name) const {
    if (name == "verify") {
      reject_url("query has verify; the check of certificates can only be turned off by TlsOptions::verify");
    }
    const bool is_word =
        std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    reject_url("query has {}; it may have connect_timeout_ms, command_timeout_ms{}{}{}",
               is_word ? detail::printable(name) : "an unknown name",
               url_.topology_ == Topology::kSentinel ? ", sentinel_user, sentinel_password" : "",
               url_.is_encrypted() ? ", ca_file, ca_path, cert_file, key_file, server_name" : "", " and db");
  }

  static void check_once(bool is_there, std::string_view name) {
    if (is_there) reject_url("query has {} twice; it may have it once", name);
  }

  static void set_timeout(std::optional<std::chrono::milliseconds>& timeout, std::string_view name,
                          std::string_view value) {
    check_once(timeout.has_value(), name);
    timeout = std::chrono::milliseconds{url_number(name, value, 1, kMaxTimeoutMs)};
  }

  Url url_;
  std::optional<int> path_database_;
  std::optional<int> query_database_;
  bool has_sentinel_user_ = false;
};

Url Url::parse(std::string_view text) { return UrlParser::parse(text); }

}  // namespace tollgate::inline v0
