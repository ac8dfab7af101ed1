/// Runs one look-up at a time for each host and port, for all connections of all clients, so that a name server that
/// does not respond blocks at most one thread for each name.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "transport/resolution.hpp"

namespace tollgate::inline v0 {

class Resolver {
 public:
  /// Returns the addresses; blocks until the name servers have answered. May throw std::bad_alloc only.
  using LookUp = std::function<HostAddresses(const std::string& host, std::uint16_t port)>;
  /// Runs `task` on another thread, never before this returns. May throw std::bad_alloc, and std::system_error when no
  /// thread can be started; then the task is not run.
  using Launch = std::function<void(std::function<void()> task)>;

  Resolver(LookUp look_up, Launch launch) : look_up_(std::move(look_up)), launch_(std::move(launch)) {}
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// The resolver of this process: getaddrinfo, on a thread for each look-up. It is never destroyed, so that it may be
  /// used while the program ends; a forked child starts without look-ups.
  [[nodiscard]] static Resolver& of_process();

  /// The look-up of `host` that is in progress, or a new one. When no thread can be started, the resolution has an
  /// error. Throws std::bad_alloc only; the next call may succeed then.
  [[nodiscard]] std::shared_ptr<Resolution> start(const std::string& host, std::uint16_t port);

 private:
  using Key = std::pair<std::string, std::uint16_t>;
  using Entry = std::map<Key, std::shared_ptr<Resolution>>::iterator;

  void run(Entry entry) noexcept;

  const LookUp look_up_;
  const Launch launch_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Resolution>> under_way_;
};

}  // namespace tollgate::inline v0
