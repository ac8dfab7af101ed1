/// A name server on 127.0.0.1:53 of a private network: silent at first, until a test lets it answer.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <atomic>
#include <thread>

namespace tollgate::tests {

class NameServer {
 public:
  NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;
  ~NameServer();

  /// Questions received, answered or not.
  [[nodiscard]] int questions() const noexcept { return questions_; }

  /// From now on the address of every name is 127.0.0.1, and none has an IPv6 address; earlier questions are answered
  /// now.
  void answer() noexcept { answers_ = true; }

 private:
  void serve();

  const int socket_;
  std::atomic<int> questions_{0};
  std::atomic<bool> answers_{false};
  std::atomic<bool> ends_{false};
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace tollgate::tests
