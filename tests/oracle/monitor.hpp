/// Redis's own record of what it executed, in order: a MONITOR connection, read by a thread of its own.
/// Thread safety: one owner; `on_command` is called on the reading thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

namespace tollgate::tests {

class Monitor {
 public:
  /// `words` are valid during the call. Keys of the oracle hold nothing that MONITOR would escape.
  using OnCommand = std::function<void(std::string_view address, const std::vector<std::string_view>& words)>;

  /// Returns once Redis records. Commands inside scripts are left out, because the script's own line is sufficient.
  Monitor(std::uint16_t port, OnCommand on_command);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Reads on until a command whose last word is kEnd has been executed. Throws when the record broke off before it.
  void finish();
  static constexpr std::string_view kEnd = "the-end-of-the-record";

 private:
  void run();

  int socket_ = -1;
  bool ended_ = false;
  OnCommand on_command_;
  std::thread thread_;
};

}  // namespace tollgate::tests
