/// Receives and sends the bytes of one established connection. Encryption is implemented here: SocketStream passes
/// bytes unchanged; a TLS stream converts them to records and may have protocol bytes to send. Thread safety: one
/// thread may send while another receives.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tollgate/error.hpp"

namespace tollgate::inline v0 {

class ByteStream {
 public:
  using Time = std::chrono::steady_clock::time_point;

  enum class Status : std::uint8_t {
    kOk,      ///< `count` bytes were passed
    kAgain,   ///< no byte can be passed now
    kClosed,  ///< the peer has closed
    kFailed,  ///< `error` is an errno, or 0: then failure() says why
  };
  struct Result {
    Status status = Status::kOk;
    std::size_t count = 0;
    int error = 0;
  };

  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  /// Reads the bytes that have come, without waiting; with `may_wait`, waits for a few milliseconds if there are none.
  [[nodiscard]] virtual Result receive(std::span<char> room, bool may_wait) noexcept = 0;

  /// Sends the bytes that the peer accepts now, without waiting. Raises no SIGPIPE.
  [[nodiscard]] virtual Result send(std::string_view bytes) noexcept = 0;

  /// The longest wait of receive(); zero when it never waits.
  [[nodiscard]] virtual std::chrono::milliseconds longest_wait() const noexcept = 0;

  /// Waits until receive() or, with `for_write`, send() can pass bytes. False when `deadline` passed first.
  [[nodiscard]] virtual bool wait(Time deadline, bool for_write) const noexcept = 0;

  /// Why receive() or send() failed with error 0.
  [[nodiscard]] virtual Failure failure() const { return {}; }

  [[nodiscard]] virtual bool is_encrypted() const noexcept { return false; }

  /// Shuts the stream down, which ends the wait of another thread; the descriptor stays open until the destructor.
  virtual void shut_down() noexcept = 0;
};

}  // namespace tollgate::inline v0
