/// The server's side of TLS for tests, by OpenSSL itself: a context with a certificate, and one connection in memory
/// that talks to a TlsEngine.
/// Thread safety: one test.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tollgate/testing/tls_certificates.hpp"
#include "transport/openssl.hpp"
#include "transport/tls_engine.hpp"

namespace tollgate::tests {

class TlsPeerContext {
 public:
  /// Speaks `version` (TLS1_2_VERSION, TLS1_3_VERSION) alone. With `client_ca`, clients must have a certificate of it.
  explicit TlsPeerContext(const testing::TlsCertificates::Pair& own, int version = TLS1_3_VERSION,
                          const std::string& client_ca = {})
      : context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX* const context = context_.get();
    bool is_made = SSL_CTX_use_certificate_chain_file(context, own.cert_file.c_str()) == 1 &&
                   SSL_CTX_use_PrivateKey_file(context, own.key_file.c_str(), SSL_FILETYPE_PEM) == 1 &&
                   SSL_CTX_set_min_proto_version(context, version) == 1 &&
                   SSL_CTX_set_max_proto_version(context, version) == 1;
    if (!client_ca.empty()) {
      is_made = is_made && SSL_CTX_load_verify_file(context, client_ca.c_str()) == 1;
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    constexpr std::string_view kSessions = "test";
    SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kSessions.data()), kSessions.size());
    if (!is_made) throw std::runtime_error("the test's TLS server cannot be made");
  }

  [[nodiscard]] openssl::Ssl new_connection() const {
    openssl::Ssl ssl{SSL_new(context_.get())};
    SSL_set_accept_state(ssl.get());
    return ssl;
  }

 private:
  openssl::Context context_;
};

class TlsPeer {
 public:
  explicit TlsPeer(const TlsPeerContext& context) : ssl_(context.new_connection()) {
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }

  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

  /// Takes what the client has to send; the handshake goes on as far as it can.
  void take(TlsEngine& client) {
    std::array<char, 4096> bytes{};
    while (const std::size_t count = client.take_output(bytes)) {
      BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(count));
    }
    const openssl::ErrorScope errors;
    if (SSL_is_init_finished(ssl_.get()) == 0) SSL_do_handshake(ssl_.get());
  }

  /// What it has to send.
  [[nodiscard]] std::string output() const {
    std::string bytes(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())), '\0');
    if (!bytes.empty()) BIO_read(SSL_get_wbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }

  void say(std::string_view text) {
    if (SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) <= 0) throw std::runtime_error("SSL_write");
  }

  /// What the client has said.
  [[nodiscard]] std::string heard() {
    const openssl::ErrorScope errors;
    std::string text;
    std::array<char, 4096> bytes{};
    for (int count = 0; (count = SSL_read(ssl_.get(), bytes.data(), bytes.size())) > 0;) {
      text.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

  /// The handshake of both, to its end or until neither has anything to say.
  TlsEngine::Status shake_hands(TlsEngine& client) {
    auto status = TlsEngine::Status::kNeedsInput;
    for (int turn = 0; turn < 10; ++turn) {
      status = client.handshake();
      take(client);
      client.feed(output());
    }
    return status;
  }

 private:
  openssl::Ssl ssl_;
};

/// All that the client can read now.
inline std::string read_all(TlsEngine& client, TlsEngine::Status& status) {
  std::string text;
  std::array<char, 1000> room{};
  for (;;) {
    const auto result = client.read(room);
    status = result.status;
    if (result.status != TlsEngine::Status::kOk) return text;
    text.append(room.data(), result.count);
  }
}

}  // namespace tollgate::tests
