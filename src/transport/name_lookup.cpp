#include "transport/name_lookup.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

namespace tollgate::inline v0 {
namespace {

HostAddresses get_addresses(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int status = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (status != 0) return {{}, ::gai_strerror(status)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{list, ::freeaddrinfo};
  HostAddresses found;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    SocketAddress& address = found.addresses.emplace_back();
    address.length = entry->ai_addrlen;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
  }
  return found;
}

/// RFC 6761: such a name always resolves to a loopback address, without a name server.
bool is_localhost(std::string host) {
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return host == "localhost" || std::string_view{host}.ends_with(".localhost");
}

/// Whether this host has a route to `address`. Connecting a datagram socket sends no packet.
bool has_route(const SocketAddress& address) noexcept {
  const int descriptor = ::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const auto* target = reinterpret_cast<const sockaddr*>(&address.storage);
  const bool connected = ::connect(descriptor, target, address.length) == 0;
  ::close(descriptor);
  return connected;
}

/// Looks up both families, and drops addresses without a route, because a failed attempt reports the error of the last
/// address, and theirs would hide that of the others.
HostAddresses get_addresses_of_both_families(const std::string& host, std::uint16_t port) {
  HostAddresses found = get_addresses(host, port, 0);
  if (std::any_of(found.addresses.begin(), found.addresses.end(), has_route)) {
    std::erase_if(found.addresses, [](const SocketAddress& address) { return !has_route(address); });
  }
  return found;
}

}  // namespace

HostAddresses read_numeric_address(const std::string& host, std::uint16_t port) {
  return get_addresses(host, port, AI_NUMERICHOST);
}

HostAddresses look_up_name(const std::string& host, std::uint16_t port) {
  if (is_localhost(host)) return get_addresses_of_both_families(host, port);
  HostAddresses found = get_addresses(host, port, AI_ADDRCONFIG);
  return found.error.empty() ? found : get_addresses_of_both_families(host, port);
}

}  // namespace tollgate::inline v0
