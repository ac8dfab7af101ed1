/// The client's side of one TLS connection, without I/O: bytes of the peer go in, plain bytes come out, and the other
/// way round. OpenSSL reads and writes memory BIOs, so it makes no system call and raises no SIGPIPE.
/// Thread safety: one thread at a time, because an SSL object is not for two; TlsStream's lock guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tollgate/client_options.hpp"
#include "tollgate/error.hpp"
#include "transport/openssl.hpp"
#include "transport/tls_sessions.hpp"

namespace tollgate::inline v0 {

class TlsEngine {
 public:
  enum class Status : std::uint8_t {
    kOk,          ///< the handshake is complete; `count` bytes were passed
    kNeedsInput,  ///< bytes of the peer must come first: feed()
    kClosed,      ///< the peer has ended its side (close_notify)
    kFailed,      ///< failure() says why
  };
  struct Result {
    Status status = Status::kOk;
    std::size_t count = 0;
  };

  /// The most plain bytes in one record (RFC 8446, section 5.1).
  static constexpr std::size_t kMaxRecord = 16'384;

  /// `ssl` is new. `name` is the one that is verified; the session tickets of the peer go to `sessions`. Throws
  /// std::bad_alloc.
  TlsEngine(openssl::Ssl ssl, std::string name, TlsOptions options, std::shared_ptr<TlsSessions> sessions);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  /// Continues the handshake.
  [[nodiscard]] Status handshake() noexcept;

  /// Takes bytes that the peer has sent.
  void feed(std::string_view bytes) noexcept;

  /// Fills `room` with what the peer has said, as far as that has come.
  [[nodiscard]] Result read(std::span<char> room) noexcept;

  /// Whether the last read() passed all that has come, so that the next one needs feed() first.
  [[nodiscard]] bool needs_input() const noexcept { return needs_input_; }

  /// Encrypts at most kMaxRecord bytes, in one record.
  [[nodiscard]] Result write(std::string_view plain) noexcept;

  /// Moves bytes for the peer into `room`: records of the handshake, of write(), and answers to key updates.
  [[nodiscard]] std::size_t take_output(std::span<char> room) noexcept;
  [[nodiscard]] std::size_t output_size() const noexcept;

  /// Adds a close_notify to the output, unless TLS has failed or the handshake is not complete.
  void close() noexcept;

  /// Why TLS failed; without a code while it has not.
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

  /// Why there is no connection when the peer ended it during the handshake, as `how` says. Throws std::bad_alloc.
  [[nodiscard]] Failure ended_in_handshake(const std::string& how) const;

  /// Whether the handshake resumed an earlier session.
  [[nodiscard]] bool is_resumed() const noexcept { return SSL_session_reused(ssl_.get()) != 0; }

  /// For the session callback of the context.
  void add_session(openssl::Session session) noexcept { sessions_->add(std::move(session)); }

 private:
  static int on_verification(int accepted, X509_STORE_CTX* store) noexcept;
  static void on_info(const SSL* ssl, int where, int value) noexcept;

  static int on_certificate_request(SSL* ssl, void* engine) noexcept;
  [[nodiscard]] Status status_of_failure(const openssl::ErrorScope& errors) noexcept;
  void fail() noexcept;
  void fail(const char* detail) noexcept;

  static constexpr int kNoAlert = -1;

  const openssl::Ssl ssl_;
  BIO* const input_;   // owned by ssl_
  BIO* const output_;  // owned by ssl_
  const std::string name_;
  const TlsOptions options_;
  const std::shared_ptr<TlsSessions> sessions_;
  bool has_received_ = false;
  bool needs_input_ = false;
  bool is_asked_for_certificate_ = false;
  int received_alert_ = kNoAlert;
  Failure failure_;
};

}  // namespace tollgate::inline v0
