#include "free_port.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

namespace tollgate::inline v0::testing {

bool is_free(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) throw std::runtime_error("socket: " + std::generic_category().message(errno));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool bound = ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(descriptor);
  return bound;
}

std::uint16_t random_port() {
  std::random_device random;
  return static_cast<std::uint16_t>(std::uniform_int_distribution{12'000, 31'999}(random));
}

std::uint16_t free_port() {
  for (;;) {
    if (const std::uint16_t port = random_port(); is_free(port)) return port;
  }
}

}  // namespace tollgate::inline v0::testing
