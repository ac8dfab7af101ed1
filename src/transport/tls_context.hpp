/// The TLS of one client with one server: trusted CAs, client certificate, and the sessions to resume.
///
/// The files of TlsOptions are read at each connect; a rotated certificate, key or CA needs no restart. When one has
/// changed, sessions made with the earlier ones are not resumed. The CAs of `ca_path` and of the system are looked up
/// by OpenSSL when a certificate names them.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>

#include "tollgate/client_options.hpp"
#include "tollgate/error.hpp"
#include "transport/openssl.hpp"
#include "transport/tls_engine.hpp"
#include "transport/tls_files.hpp"
#include "transport/tls_sessions.hpp"

namespace tollgate::inline v0 {

class TlsContext {
 public:
  /// `host` is verified where `options` has no server_name. No I/O. Throws std::bad_alloc.
  TlsContext(TlsOptions options, const std::string& host);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  /// An engine for one connection, or why there is none: a file that cannot be read, is malformed, or does not belong
  /// to another.
  struct Opened {
    std::unique_ptr<TlsEngine> engine;
    Failure failure = {};
  };
  /// Reads the files. Throws std::bad_alloc.
  [[nodiscard]] Opened open();

  /// What was wrong with combinations of options, before any I/O; empty = nothing.
  [[nodiscard]] static std::string fault_in(const TlsOptions& options);

 private:
  using Digest = std::array<unsigned char, 32>;  // SHA-256

  struct Made {
    openssl::Context context;
    std::string error = {};  // what is wrong with the files
  };
  [[nodiscard]] Made make_context(const TlsFiles& files) const;
  [[nodiscard]] std::string trust(SSL_CTX* context, const TlsFiles& files) const;
  [[nodiscard]] std::string present(SSL_CTX* context, const TlsFiles& files) const;

  const TlsOptions options_;
  const std::string name_;
  const std::shared_ptr<TlsSessions> sessions_ = std::make_shared<TlsSessions>();
  std::mutex mutex_;  // guards the members below
  openssl::Context context_;
  Digest digest_{};  // of the files that context_ was made from
};

}  // namespace tollgate::inline v0
