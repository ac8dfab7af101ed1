/// A ByteStream over a connected socket that encrypts with TLS. Encrypting and decrypting happen under the stream's
/// lock, system calls outside of it. All records for the peer, those that OpenSSL makes while a thread reads included,
/// go through one queue, from which one thread at a time sends; so they leave in order.
///
/// send() takes plain bytes only while nothing encrypted is left unsent: so at most one record (16 KiB) is on its way
/// that the peer has not taken, and bytes that were not taken can still be withdrawn.
/// An end without close_notify is an end like any other: a RESP reply names its length, so a cut one is never taken for
/// a whole one.
/// Thread safety: as ByteStream; shut_down() may be called from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "tollgate/error.hpp"
#include "transport/byte_stream.hpp"
#include "transport/open_socket.hpp"
#include "transport/socket_stream.hpp"
#include "transport/tls_engine.hpp"

namespace tollgate::inline v0 {

class TlsStream final : public ByteStream {
 public:
  enum class Progress : std::uint8_t { kPending, kDone, kFailed };

  /// `socket` must be connected; `engine` is new.
  TlsStream(std::unique_ptr<OpenSocket> socket, std::unique_ptr<TlsEngine> engine) noexcept;

  /// Continues the handshake, without waiting: after kPending, wait() until more can be done. By one thread, before any
  /// other function.
  [[nodiscard]] Progress handshake();

  [[nodiscard]] Result receive(std::span<char> room, bool may_wait) noexcept override;
  [[nodiscard]] Result send(std::string_view bytes) noexcept override;
  [[nodiscard]] std::chrono::milliseconds longest_wait() const noexcept override { return socket_.longest_wait(); }
  [[nodiscard]] bool wait(Time deadline, bool for_write) const noexcept override;
  /// Whether records wait for the peer to take them.
  [[nodiscard]] bool is_sending() const noexcept { return has_unsent_.load(std::memory_order_relaxed); }
  void shut_down() noexcept override;
  [[nodiscard]] Failure failure() const override;
  [[nodiscard]] bool is_encrypted() const noexcept override { return true; }

 private:
  using Lock = std::unique_lock<std::mutex>;

  // A record, its header and what TLS adds to it.
  static constexpr std::size_t kRecordRoom = TlsEngine::kMaxRecord + 512;

  [[nodiscard]] Result read(Lock& lock, std::span<char> room) noexcept;
  void flush(Lock& lock) noexcept;

  SocketStream socket_;
  mutable std::mutex mutex_;  // guards all members below
  const std::unique_ptr<TlsEngine> engine_;
  bool is_sending_ = false;  // a thread uses sending_, without the lock
  std::array<char, kRecordRoom> sending_;
  std::size_t sent_ = 0;  // of sending_
  std::size_t size_ = 0;  // of what is in sending_
  int send_error_ = 0;    // an errno: nothing more is sent
  Failure failure_;       // of the socket, in the handshake
  // Written under the lock, read without it:
  std::atomic<bool> has_unsent_{false};     // records for the peer that it has not taken
  std::atomic<bool> may_have_more_{false};  // the engine may have plain bytes, or an end, without more input
};

}  // namespace tollgate::inline v0
