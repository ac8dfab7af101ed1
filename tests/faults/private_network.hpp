/// A network of the process's own (a network, mount and user namespace): a loopback interface and nothing else, with
/// the hosts file and the name server that a test says. Thread safety: enter before the process has a second thread.
#pragma once

#include <string>

namespace tollgate::tests {

/// Moves this process into a network of its own, which has 127.0.0.1 and ::1. `hosts` is the text of its /etc/hosts;
/// its name server is 127.0.0.1:53, asked once for each question, 30 s long. Throws std::system_error.
void enter_private_network(const std::string& hosts);

/// Give the loopback interface an address of a network, 192.0.2.1 or 2001:db8::1, so that this host counts as one that
/// has the family. Throw std::system_error.
void add_ipv4_network();
void add_ipv6_network();

}  // namespace tollgate::tests
