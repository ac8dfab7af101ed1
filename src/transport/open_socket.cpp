#include "transport/open_socket.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>

namespace tollgate::inline v0 {
namespace {

// Constant-initialized and never destroyed, so that sockets may be opened and closed before and after main.
constinit std::mutex open_sockets_mutex;
constinit OpenSocket* first_open_socket = nullptr;

}  // namespace

OpenSocket::OpenSocket(int family, int type) noexcept {
  static_cast<void>(kRegistered);
  const std::lock_guard lock{
      open_sockets_mutex};  // so that no fork happens between opening the socket and adding it to the list
  const int descriptor = ::socket(family, type | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  descriptor_.store(descriptor, std::memory_order_relaxed);
  next_ = first_open_socket;
  if (next_ != nullptr) next_->previous_ = this;
  first_open_socket = this;
}

OpenSocket::~OpenSocket() {
  const std::lock_guard lock{open_sockets_mutex};
  const int descriptor = descriptor_.load(std::memory_order_relaxed);
  if (descriptor < 0) return;
  (previous_ != nullptr ? previous_->next_ : first_open_socket) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  ::close(descriptor);
}

/// Closes every socket in a forked child. The lock was taken before the fork. The owners stay, without a descriptor.
void OpenSocket::close_all_in_child() noexcept {
  while (first_open_socket != nullptr) {
    OpenSocket* const socket = first_open_socket;
    first_open_socket = socket->next_;
    ::close(socket->descriptor_.exchange(-1, std::memory_order_relaxed));
  }
  open_sockets_mutex.unlock();
}

const int OpenSocket::kRegistered =
    pthread_atfork([] { open_sockets_mutex.lock(); }, [] { open_sockets_mutex.unlock(); }, &close_all_in_child);

}  // namespace tollgate::inline v0
