/// One established connection: the owner of a redisContext. Every wait ends by the caller's deadline. Writing touches
/// only the descriptor and `outgoing`, reading only the parser, so that one thread may write while another reads.
/// Thread safety: one writer and one reader at a time.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tollgate/error.hpp"
#include "transport/reply_parser.hpp"

namespace tollgate::inline v0 {

class Connection {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  /// Takes over `descriptor`, which must be connected and close-on-exec; also when it throws.
  explicit Connection(int descriptor);

  [[nodiscard]] int descriptor() const noexcept { return context_->fd; }

  /// Ends it for whoever waits for it. The descriptor stays open until the last holder has gone.
  void shut_down() const noexcept { ::shutdown(descriptor(), SHUT_RDWR); }

  /// Sends what it can of `outgoing` without waiting and returns how much that was; sets `closing` on an error.
  [[nodiscard]] std::size_t send() noexcept;

  /// Waits until there is something to read, or room to write where `for_write`. False when the deadline came first.
  [[nodiscard]] bool wait(Deadline deadline, bool for_write) const noexcept;

  /// Appends to `replies` what can be read without waiting. A failure means that the connection has ended.
  [[nodiscard]] Failure receive(std::vector<Reply>& replies);

  /// Waits as wait() does, or for a shorter while, and then reads as receive() does: one system call where the deadline
  /// is far.
  [[nodiscard]] Failure wait_and_receive(Deadline deadline, bool for_write, std::vector<Reply>& replies);

  // The writer's; guarded by the Pipeline's lock between turns.
  std::string outgoing;  // the bytes that the writer is sending, and the rest of an exchange that left in part
  bool writing = false;  // somebody is the writer
  bool closing = false;  // no more is written: sending failed, or this server takes no writes (any more)
  bool has_answered = false;

 private:
  struct FreeContext {
    void operator()(redisContext* context) const noexcept { redisFree(context); }
  };

  [[nodiscard]] Failure failed(Errc code, std::string detail) const;
  [[nodiscard]] Failure read(int flags, std::vector<Reply>& replies);

  std::unique_ptr<redisContext, FreeContext> context_;
  ReplyParser parser_;
  bool has_received_ = false;  // a byte, ever
  const bool may_block_;       // in recv: it has a timeout
};

}  // namespace tollgate::inline v0
