/// Resolves host names by getaddrinfo, which has no deadline, so Resolver calls look_up_name() on a separate thread.
/// Thread safety: both functions may be called from all threads.
#pragma once

#include <cstdint>
#include <string>

#include "transport/resolution.hpp"

namespace tollgate::inline v0 {

/// Parses `host` as a numeric address; an error when it is a name. No I/O.
[[nodiscard]] HostAddresses read_numeric_address(const std::string& host, std::uint16_t port);

/// The addresses of `host`, in the order of RFC 6724. Blocks for as long as the name servers take.
/// Families of which this host has no address are not looked up (AI_ADDRCONFIG), because a name server that never
/// answers for such a family would delay the result. glibc ignores loopback addresses in this decision, so on a host
/// with IPv6 only it drops 127.0.0.1. Therefore `localhost`, and any name that is not found otherwise, is looked up in
/// both families.
[[nodiscard]] HostAddresses look_up_name(const std::string& host, std::uint16_t port);

}  // namespace tollgate::inline v0
