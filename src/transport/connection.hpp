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

  /// Shuts the connection down, which ends the wait of another thread.
  void shut_down() noexcept { stream_->shut_down(); }

  /// Sends as much of `outgoing` as possible without waiting; returns the number of bytes. Sets `closing` on an error.
  [[nodiscard]] std::size_t send() noexcept;

  /// Waits until bytes can be read or, with `for_write`, written. False when the deadline passed first.
  [[nodiscard]] bool wait(Deadline deadline, bool for_write) const noexcept {
    return stream_->wait(deadline, for_write);
  }

  /// Appends the replies that can be read without waiting to `replies`. A failure means that the connection has ended.
  [[nodiscard]] Failure receive(std::vector<Reply>& replies) noexcept;

  /// Waits as wait() does, perhaps for less time, and then reads as receive() does: one system call when the deadline
  /// is far enough away.
  [[nodiscard]] Failure wait_and_receive(Deadline deadline, bool for_write, std::vector<Reply>& replies) noexcept;

  // Used by the writer.
  std::string outgoing;  // the bytes that it is sending, and the rest of an exchange that was sent in part
  bool closing = false;  // sending has failed

  // Used by the reader.
  bool has_answered = false;
  bool is_out_of_memory = false;  // replies were lost because our memory was short

 private:
  [[nodiscard]] Failure read(bool may_wait, std::vector<Reply>& replies) noexcept;
  [[nodiscard]] Failure lost(const char* why) const;
  [[nodiscard]] Failure failed() const;

  const std::unique_ptr<ByteStream> stream_;
  ReplyParser parser_;
  bool has_received_ = false;
};

}  // namespace tollgate::inline v0
