#include "transport/resolution.hpp"

#include <pthread.h>

#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>

namespace tollgate::inline v0 {

void Resolution::look_up(const std::string& host, std::uint16_t port, int flags) noexcept {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  try {
    const int status = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (status != 0) error_ = ::gai_strerror(status);
    for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
      SocketAddress address;
      address.length = entry->ai_addrlen;
      std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
      addresses_.push_back(address);
    }
  } catch (const std::bad_alloc&) {
    addresses_.clear();
  }
  if (found != nullptr) ::freeaddrinfo(found);
}

std::shared_ptr<Resolution> Resolution::start(const std::string& host, std::uint16_t port) {
  auto resolution = std::make_shared<Resolution>();
  resolution->look_up(host, port, AI_NUMERICHOST);
  if (resolution->error_.empty()) {
    resolution->done_.signal();
    return resolution;
  }
  resolution->error_.clear();

  // The program's signals are not for this thread to handle.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([resolution, host, port] {
      resolution->look_up(host, port, AI_ADDRCONFIG);
      resolution->done_.signal();
    }).detach();
  } catch (const std::system_error& error) {
    resolution->error_ = error.code().message();
    resolution->done_.signal();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return resolution;
}

}  // namespace tollgate::inline v0
