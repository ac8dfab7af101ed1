#include "values/url.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "values/arguments.hpp"

namespace tollgate::inline v0 {
namespace {

constexpr std::int64_t kMaxTimeoutMs = 3'600'000;
constexpr std::size_t kMaxHostBytes = 255;
constexpr std::size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;

/// The message contains only values that cannot be a secret, because in a malformed URL any part may be a password.
template <class... Arguments>
[[noreturn]] void reject_url(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  throw std::invalid_argument("tollgate: url " + fmt::format(format, std::forward<Arguments>(arguments)...));
}

bool is_digit(char character) { return character >= '0' && character <= '9'; }
bool is_lower(char character) { return character >= 'a' && character <= 'z'; }
char to_lower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

/// RFC 3986's unreserved characters.
bool is_unreserved(char character) {
  return is_digit(character) || is_lower(to_lower(character)) || std::string_view{"-._~"}.find(character) < 4;
}

bool is_host_character(char character) { return is_unreserved(character) || static_cast<signed char>(character) < 0; }

int hex_digit(char character) {
  if (is_digit(character)) return character - '0';
  const char lower = to_lower(character);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decode(std::string_view part, std::string_view text) {
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

std::string encode(std::string_view text) {
  std::string out;
  for (const char character : text) {
    const bool plain = is_unreserved(character) || character == '/';
    out += plain ? std::string(1, character) : fmt::format("%{:02X}", static_cast<unsigned char>(character));
  }
  return out;
}

std::int64_t number(std::string_view part, std::string_view text, std::int64_t low, std::int64_t high) {
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

/// Splits `text` at the first of `separators`: returns what stands before it and leaves the rest, separator first.
std::string_view take_until(std::string_view& text, std::string_view separators) {
  const std::string_view taken = text.substr(0, text.find_first_of(separators));
  text.remove_prefix(taken.size());
  return taken;
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
        "it must start with redis://, rediss://, valkey://, valkeys://, unix:// or memory://";
    constexpr std::array kSchemes{std::pair{std::string_view{"redis"}, Url::Scheme::kRedis},
                                  std::pair{std::string_view{"rediss"}, Url::Scheme::kRediss},
                                  std::pair{std::string_view{"valkey"}, Url::Scheme::kRedis},
                                  std::pair{std::string_view{"valkeys"}, Url::Scheme::kRediss},
                                  std::pair{std::string_view{"unix"}, Url::Scheme::kUnix},
                                  std::pair{std::string_view{"memory"}, Url::Scheme::kMemory}};
    constexpr std::array kReserved{std::pair{std::string_view{"redis+sentinel"}, "Sentinel"},
                                   std::pair{std::string_view{"rediss+sentinel"}, "Sentinel"},
                                   std::pair{std::string_view{"redis+cluster"}, "Cluster"},
                                   std::pair{std::string_view{"rediss+cluster"}, "Cluster"}};
    const std::string_view scheme = text.substr(0, text.find("://"));
    std::string lower{scheme};
    std::transform(lower.begin(), lower.end(), lower.begin(), to_lower);
    if (scheme.size() == text.size()) reject_url("has no scheme; {}", kKnown);
    for (const auto& [name, value] : kSchemes) {
      if (lower != name) continue;
      url_.scheme_ = value;
      text.remove_prefix(scheme.size() + std::string_view{"://"}.size());
      return;
    }
    for (const auto& [name, topology] : kReserved) {
      if (lower == name) reject_url("scheme is {}, but this build has no Redis {}; {}", name, topology, kKnown);
    }
    const bool is_word = !scheme.empty() && std::all_of(scheme.begin(), scheme.end(), is_unreserved);
    if (!is_word) reject_url("has no scheme; {}", kKnown);
    reject_url("scheme is {}; {}", detail::printable(scheme), kKnown);
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
    url_.path_ = decode("path", take_until(text, "?#"));
    if (url_.path_.size() < 2 || url_.path_.size() > kMaxPathBytes) {
      reject_url("path of the socket is {} bytes long; it must be 2 … {} bytes", url_.path_.size(), kMaxPathBytes);
    }
    read_query(text);
  }

  void read_network(std::string_view text) {
    std::string_view authority = take_until(text, "/?#");
    if (text.find('@') != std::string_view::npos) {
      reject_url("has an @ behind its host; write / ? # and @ in user and password as %2F %3F %23 and %40");
    }
    if (authority.empty()) {
      url_.host_ = "localhost";
    } else {
      if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
        read_credentials(authority.substr(0, at));
        authority.remove_prefix(at + 1);
      }
      read_host(authority);
    }
    const std::string path = decode("database", take_until(text, "?#"));
    std::optional<int> database;
    if (path.size() > 1) database = database_number("database", std::string_view{path}.substr(1));
    read_query(text);
    if (database && has_database_ && *database != url_.database_) {
      reject_url("has database {} in its path and {} in its query; it must have one of them, or the same twice",
                 *database, url_.database_);
    }
    if (database) url_.database_ = *database;
  }

  void read_credentials(std::string_view text) {
    if (text.empty()) return;
    if (text.find('@') != std::string_view::npos)
      reject_url("has more than one @; write @ in user and password as %40");
    const std::size_t colon = text.find(':');
    url_.username_ = decode("user", text.substr(0, colon));
    // Neither `user@` nor `:@`, as templates write it when both are empty, has a password; `user:@` has an empty one.
    if (colon == std::string_view::npos || text == ":") return;
    url_.password_ = decode("password", text.substr(colon + 1));
  }

  void read_host(std::string_view text) {
    if (text.starts_with('[')) {
      const std::size_t close = text.find(']');
      if (close == std::string_view::npos) reject_url("host has a [ without a ]");
      url_.host_ = decode("host", text.substr(1, close - 1));
      check_ipv6();
      text.remove_prefix(close + 1);
      if (!text.empty() && text.front() != ':')
        reject_url("host has characters after its ]; it must end there or at :port");
    } else {
      if (std::count(text.begin(), text.end(), ':') > 1) {
        reject_url("host has more than one colon; it must be host or host:port, with an IPv6 address in [ ]");
      }
      url_.host_ = decode("host", take_until(text, ":"));
      if (url_.host_.empty() || url_.host_.size() > kMaxHostBytes) {
        reject_url("host is {} bytes long; it must be 1 … {} bytes", url_.host_.size(), kMaxHostBytes);
      }
      if (!std::all_of(url_.host_.begin(), url_.host_.end(), is_host_character)) {
        reject_url("host has an invalid character; it must be a name or an address");
      }
    }
    if (text.empty()) return;
    url_.port_ = static_cast<std::uint16_t>(number("port", text.substr(1), 1, 65'535));
  }

  /// An address, and perhaps the zone of a link-local one behind a percent sign (RFC 6874).
  void check_ipv6() const {
    const std::size_t percent = url_.host_.find('%');
    const std::string address = url_.host_.substr(0, percent);
    in6_addr parsed{};
    bool valid = inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
    if (percent != std::string::npos) {
      const std::string_view zone = std::string_view{url_.host_}.substr(percent + 1);
      valid = valid && !zone.empty() && std::all_of(zone.begin(), zone.end(), is_unreserved);
    }
    if (!valid) reject_url("host in [ ] is not an IPv6 address");
  }

  void read_query(std::string_view text) {
    if (text.find('#') != std::string_view::npos) reject_url("has a #; write it as %23");
    if (text.size() <= 1) return;
    text.remove_prefix(1);
    while (true) {
      std::string_view item = take_until(text, "&");
      const std::string name = decode("query", take_until(item, "="));
      read_setting(name, item.empty() ? std::string{} : decode("query", item.substr(1)));
      if (text.empty()) return;
      text.remove_prefix(1);
    }
  }

  void read_setting(std::string_view name, std::string_view value) {
    if (name == "connect_timeout_ms") {
      set_timeout(url_.connect_timeout_, name, value);
    } else if (name == "command_timeout_ms") {
      set_timeout(url_.command_timeout_, name, value);
    } else if (name == "db") {
      if (std::exchange(has_database_, true)) reject_url("query has db twice; it may have it once");
      url_.database_ = database_number("db", value);
    } else {
      const bool is_word = std::all_of(name.begin(), name.end(), [](char c) { return is_lower(c) || c == '_'; });
      reject_url("query has {}; it may have connect_timeout_ms, command_timeout_ms and db",
                 is_word ? detail::printable(name) : "an unknown name");
    }
  }

  static int database_number(std::string_view part, std::string_view text) {
    return static_cast<int>(number(part, text, 0, std::numeric_limits<std::int32_t>::max()));
  }

  static void set_timeout(std::optional<std::chrono::milliseconds>& timeout, std::string_view name,
                          std::string_view value) {
    if (timeout) reject_url("query has {} twice; it may have it once", name);
    timeout = std::chrono::milliseconds{number(name, value, 1, kMaxTimeoutMs)};
  }

  Url url_;
  bool has_database_ = false;  // in its query
};

Url Url::parse(std::string_view text) { return UrlParser::parse(text); }

std::string Url::to_string() const {
  if (scheme_ == Scheme::kMemory) return "memory://";
  if (scheme_ == Scheme::kUnix) return fmt::format("unix://{}?db={}", encode(path_), database_);
  const bool is_ipv6 = host_.find(':') != std::string::npos;
  std::string host = is_ipv6 ? '[' + host_ + ']' : encode(host_);
  if (const std::size_t percent = host.find('%'); is_ipv6 && percent != std::string::npos) {
    host.replace(percent, 1, "%25");
  }
  return fmt::format("{}://{}:{}/{}", scheme_ == Scheme::kRedis ? "redis" : "rediss", host, port_, database_);
}

}  // namespace tollgate::inline v0
