/// Owns a socket's descriptor, which is closed in every forked child, so that a child keeps none of its parent's
/// connections. A descriptor is closed once, by its owner or at the fork.
/// Thread safety: one owner; forks may happen at any time on any thread.
#pragma once

#include <atomic>

namespace tollgate::inline v0 {

class OpenSocket {
 public:
  /// Opens a socket as ::socket does, close-on-exec; descriptor() is -1 and errno set when that failed.
  OpenSocket(int family, int type) noexcept;
  ~OpenSocket();
  OpenSocket(const OpenSocket&) = delete;
  OpenSocket& operator=(const OpenSocket&) = delete;

  /// -1 when it could not be opened, and in a child that was forked since.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_.load(std::memory_order_relaxed); }

 private:
  static void close_all_in_child() noexcept;
  static const int kRegistered;

  // Links of the list of all open sockets; guarded by its lock, which a fork takes too.
  OpenSocket* previous_ = nullptr;
  OpenSocket* next_ = nullptr;
  std::atomic<int> descriptor_{-1};
};

}  // namespace tollgate::inline v0
