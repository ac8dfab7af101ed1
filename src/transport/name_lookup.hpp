/// Host names to addresses by getaddrinfo, which has no deadline: Resolver calls look_up_name() on a thread of its own.
/// Thread safety: both functions may be called from all threads.
#pragma once

#include <cstdint>
#include <string>

#include "transport/resolution.hpp"

namespace tollgate::inline v0 {

/// The address that `host` is written as; an error where it is a name. No I/O.
[[nodiscard]] HostAddresses read_numeric_address(const std::string& host, std::uint16_t port);

/// The addresses of `host`, in the order of RFC 6724. Blocks for as long as the name servers take.
/// Addresses of a family that this host has no address of are left out (AI_ADDRCONFIG), for a name server that never
/// answers about that family would hold the whole answer back. glibc does not count loopback addresses there: with IPv6
/// as the only network it drops 127.0.0.1. Hence `localhost`, and any name that is not found otherwise, is looked up in
/// both families.
[[nodiscard]] HostAddresses look_up_name(const std::string& host, std::uint16_t port);

}  // namespace tollgate::inline v0
