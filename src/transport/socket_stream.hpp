/// A ByteStream over a connected socket, without encryption.
/// Thread safety: as ByteStream.
#pragma once

#include <memory>

#include "transport/byte_stream.hpp"
#include "transport/open_socket.hpp"

namespace tollgate::inline v0 {

class SocketStream final : public ByteStream {
 public:
  /// `socket` must be connected.
  explicit SocketStream(std::unique_ptr<OpenSocket> socket) noexcept;

  [[nodiscard]] Result receive(std::span<char> room, bool may_wait) noexcept override;
  [[nodiscard]] Result send(std::string_view bytes) noexcept override;
  [[nodiscard]] std::chrono::milliseconds longest_wait() const noexcept override;
  [[nodiscard]] bool wait(Time deadline, bool for_write) const noexcept override;
  void shut_down() noexcept override;

 private:
  const std::unique_ptr<OpenSocket> socket_;
  const bool may_block_;  // recv may block, because the socket has a receive timeout
};

/// Waits until `descriptor` can be read or, with `for_write`, written. False when `deadline` passed first.
[[nodiscard]] bool wait_for_socket(int descriptor, ByteStream::Time deadline, bool for_read, bool for_write) noexcept;

}  // namespace tollgate::inline v0
