/// A private network of the process (a network, mount and user namespace): a loopback interface only, with the test's
/// hosts file and name server. Thread safety: enter it before the process has a second thread.
#pragma once

#include <string>

namespace tollgate::tests {

/// Moves this process into a private network, which has 127.0.0.1 and ::1. `hosts` is the text of its /etc/hosts; its
/// name server is 127.0.0.1:53, to which each query is sent once, with a timeout of 30 s. Throws std::system_error.
void enter_private_network(const std::string& hosts);

/// Give the loopback interface an address of a network, 192.0.2.1 or 2001:db8::1, so that this host counts as one that
/// has the family. Throw std::system_error.
void add_ipv4_network();
void add_ipv6_network();

}  // namespace tollgate::tests
