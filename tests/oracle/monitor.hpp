/// Redis's own record of what it executed, in order: a MONITOR connection, read by a thread of its own.
/// Thread safety: one owner; `on_command` is called on the reading thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace tollgate::tests {

class Monitor {
 public:
  using OnCommand = std::function<void(const std::string& address, const std::vector<std::string>& words)>;

  /// Returns once Redis records. What scripts call inside is left out: the script's own line tells all.
  Monitor(std::uint16_t port, OnCommand on_command);
  ~Monitor() { finish(); }
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Reads on until a command whose last word is kEnd has been executed.
  void finish();
  static constexpr const char* kEnd = "the-end-of-the-record";

 private:
  void run();

  int socket_ = -1;
  OnCommand on_command_;
  std::thread thread_;
};

}  // namespace tollgate::tests
