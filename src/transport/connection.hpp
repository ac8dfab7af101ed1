/// One established connection: a stream of bytes, the parser of its replies, and the bytes that are to be sent. Writing
/// touches only the stream and `outgoing`, reading only the stream and the parser, so that one thread may write while
/// another reads.
/// Thread safety: one writer and one reader at a time.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tollgate/error.hpp"
#include "transport/byte_stream.hpp"
#include "transport/reply_parser.hpp"

namespace tollgate::inline v0 {

class Connection {
 public:
  using Deadline = ByteStream::Time;

  explicit Connection(std::unique_ptr<ByteStream> stream);

  /// Ends it for a thread that waits in it.
  void shut_down() noexcept { stream_->shut_down(); }

  /// Sends what it can of `outgoing` without waiting and returns how much that was; sets `closing` on an error.
  [[nodiscard]] std::size_t send() noexcept;

  /// Waits until there is something to read, or room to write where `for_write`. False when the deadline came first.
  [[nodiscard]] bool wait(Deadline deadline, bool for_write) const noexcept {
    return stream_->wait(deadline, for_write);
  }

  /// Appends to `replies` what can be read without waiting. A failure means that the connection has ended.
  [[nodiscard]] Failure receive(std::vector<Reply>& replies) noexcept;

  /// Waits as wait() does, or for a shorter while, and then reads as receive() does: one system call where the deadline
  /// is far.
  [[nodiscard]] Failure wait_and_receive(Deadline deadline, bool for_write, std::vector<Reply>& replies) noexcept;

  // The writer's; guarded by the Pipeline's lock between turns.
  std::string outgoing;  // the bytes that the writer is sending, and the rest of an exchange that left in part
  bool writing = false;  // a thread is the writer
  bool closing = false;  // no more is written: sending failed, or this server takes no writes (any more)
  bool has_answered = false;
  bool is_out_of_memory =
      false;  // the reader's: replies were lost for want of memory, which is not the server's failure

 private:
  [[nodiscard]] Failure read(bool may_wait, std::vector<Reply>& replies) noexcept;
  [[nodiscard]] Failure lost(const char* why) const;

  const std::unique_ptr<ByteStream> stream_;
  ReplyParser parser_;
  bool has_received_ = false;
};

}  // namespace tollgate::inline v0
