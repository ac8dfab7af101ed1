/// Ports and sockets that never reply, for tests of clients that must not wait for them.
/// Thread safety: one thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tollgate::tests {

/// Sockets that are connected to a port and send nothing.
class IdleSockets {
 public:
  IdleSockets(std::uint16_t port, std::size_t count) : sockets_(count) {
    for (int& socket : sockets_) {
      socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(port);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      static_cast<void>(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
  }
  ~IdleSockets() {
    for (const int socket : sockets_) ::close(socket);
  }
  IdleSockets(const IdleSockets&) = delete;
  IdleSockets& operator=(const IdleSockets&) = delete;

 private:
  std::vector<int> sockets_;
};

/// A port where a connect never completes: a socket listens and never accepts.
class SilentPort {
 public:
  SilentPort() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 0) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    queue_.emplace(port_, 4);  // what it has room for, and more
  }
  ~SilentPort() { ::close(listener_); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;

  [[nodiscard]] std::string port() const { return std::to_string(port_); }

 private:
  int listener_;
  std::uint16_t port_ = 0;
  std::optional<IdleSockets> queue_;
};

}  // namespace tollgate::tests
