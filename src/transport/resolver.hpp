/// One look-up at a time for each host and port, however many connections of however many clients ask: a name server
/// that hangs costs one thread for each name, and no more. Thread safety: every function may be called from all
/// threads.
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
  /// Blocks until the addresses are known. May throw std::bad_alloc alone.
  using LookUp = std::function<HostAddresses(const std::string& host, std::uint16_t port)>;
  /// Runs `task` later, on another thread; never before it returns. May throw std::system_error, when no thread can be
  /// had, and std::bad_alloc, and then does not run it.
  using Launch = std::function<void(std::function<void()> task)>;

  Resolver(LookUp look_up, Launch launch) : look_up_(std::move(look_up)), launch_(std::move(launch)) {}
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// The one of this process: getaddrinfo, on a thread for each look-up. It is never destroyed, so that it may be used
  /// while the program ends; a forked child starts with none under way.
  [[nodiscard]] static Resolver& of_process();

  /// The look-up of `host` that is under way, or a new one. A thread that cannot be had is an error of the resolution.
  /// Throws std::bad_alloc alone; the next call may succeed then.
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
