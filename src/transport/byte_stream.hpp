/// The bytes of one established connection: in, out, and what it waits for. This is where encryption sits: SocketStream
/// passes bytes as they are; a TLS stream turns them into records on the way and may have bytes of its own to send.
/// Thread safety: one thread may send while another receives.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tollgate::inline v0 {

class ByteStream {
 public:
  using Time = std::chrono::steady_clock::time_point;

  enum class Status : std::uint8_t {
    kOk,      ///< `count` bytes were passed
    kAgain,   ///< none can be passed now
    kClosed,  ///< the peer has closed
    kFailed,  ///< `error` is an errno
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

  /// Reads what has come, without waiting; with `may_wait` for a few milliseconds at most where nothing has.
  [[nodiscard]] virtual Result receive(std::span<char> room, bool may_wait) noexcept = 0;

  /// Sends what the peer takes now, without waiting. Raises no SIGPIPE.
  [[nodiscard]] virtual Result send(std::string_view bytes) noexcept = 0;

  /// How long receive() may wait at most; zero when it never waits.
  [[nodiscard]] virtual std::chrono::milliseconds longest_wait() const noexcept = 0;

  /// Waits until receive() or, with `for_write`, send() can pass bytes. False when `deadline` came first.
  [[nodiscard]] virtual bool wait(Time deadline, bool for_write) const noexcept = 0;

  /// Ends it for a thread that waits in it; its descriptor stays open until it is destroyed.
  virtual void shut_down() noexcept = 0;
};

}  // namespace tollgate::inline v0
