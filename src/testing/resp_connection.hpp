/// The least that talks RESP2 to a test's own server: one command, one reply, over a Unix socket. It shares no code
/// with the library's client, so that neither hides the other's mistakes. Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::testing {

class RespConnection {
 public:
  /// Connects. Throws std::runtime_error, as every function here, when it cannot or when `timeout` passes.
  RespConnection(const std::string& socket_path, std::chrono::milliseconds timeout);
  RespConnection(const RespConnection&) = delete;
  RespConnection& operator=(const RespConnection&) = delete;
  ~RespConnection();

  Reply command(const std::vector<std::string>& arguments);
  void send(const std::vector<std::string>& arguments);  ///< without waiting for the reply
  Reply receive();

 private:
  void wait_for(short events);
  void fill();
  [[nodiscard]] std::string take_line();
  [[nodiscard]] std::string take_bytes(std::size_t count);

  int descriptor_;
  std::chrono::steady_clock::time_point deadline_;
  std::string buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace tollgate::inline v0::testing
