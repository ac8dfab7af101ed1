/// Where one server is, and how to log in there: all that transport needs of a URL. Plain values.
/// Thread safety: that of any value; Login::credentials may be called from several threads at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tollgate/client_options.hpp"

namespace tollgate::inline v0 {

struct Endpoint {
  std::string name;              ///< for messages: the URL without user and password
  std::string host = {};         ///< a name or an address; empty for a Unix socket
  std::uint16_t port = 6379;     ///< of `host`
  std::string socket_path = {};  ///< of a Unix socket, where there is no host
  bool is_encrypted = false;     ///< TLS is spoken there
};

struct Login {
  std::optional<Credentials> fixed = std::nullopt;     ///< used where there is no callback; nothing = no AUTH
  std::function<Credentials()> credentials = nullptr;  ///< as ClientOptions::credentials
  int database = 0;
  /// One command, as RESP, that is sent behind AUTH and SELECT; its reply is kept for the owner of the attempt,
  /// whatever it is. Empty = none.
  std::string inquiry = {};
};

}  // namespace tollgate::inline v0
