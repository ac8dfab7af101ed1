/// OpenSSL's objects as owned values, and what every use of OpenSSL here needs: its start, its end at the program's
/// exit, and a scope that leaves the thread's error queue as it was.
/// Thread safety: plain functions; an object belongs to one thread at a time, as OpenSSL says.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace tollgate::inline v0::openssl {

/// Initializes OpenSSL without changing its configuration. It must be called before a client is returned to its user:
/// a static client is then destroyed before OpenSSL's exit handler runs.
void start() noexcept;

/// Whether OpenSSL's exit handler has run. No function of OpenSSL may be called afterwards, and no object freed.
[[nodiscard]] bool has_ended() noexcept;

template <auto free_object>
struct Free {
  template <class Object>
  void operator()(Object* object) const noexcept {
    if (!has_ended()) free_object(object);
  }
};

using Ssl = std::unique_ptr<SSL, Free<&SSL_free>>;
using Context = std::unique_ptr<SSL_CTX, Free<&SSL_CTX_free>>;
using Session = std::unique_ptr<SSL_SESSION, Free<&SSL_SESSION_free>>;
using Bio = std::unique_ptr<BIO, Free<&BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<&X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<&EVP_PKEY_free>>;

/// Removes the errors that were added to this thread's error queue while it lives, so that the application that uses
/// OpenSSL too finds none of ours. OpenSSL's own handshake empties the queue at its start; reading and writing do not.
class ErrorScope {
 public:
  ErrorScope() noexcept : last_before_(ERR_peek_last_error_all(&file_, &line_, nullptr, nullptr, nullptr)) {
    ERR_set_mark();
  }
  ErrorScope(const ErrorScope&) = delete;
  ErrorScope& operator=(const ErrorScope&) = delete;
  ~ErrorScope() { ERR_pop_to_mark(); }

  /// Whether an error was added.
  [[nodiscard]] bool has_error() const noexcept {
    const char* file = nullptr;
    int line = 0;
    const unsigned long last = ERR_peek_last_error_all(&file, &line, nullptr, nullptr, nullptr);
    return last != 0 && (last != last_before_ || file != file_ || line != line_);
  }

  /// The latest error, in OpenSSL's words, which hold no data of the peer.
  [[nodiscard]] static const char* reason() noexcept {
    const char* const text = ERR_reason_error_string(ERR_peek_last_error());
    return text != nullptr ? text : "unknown error";
  }

 private:
  const char* file_ = nullptr;
  int line_ = 0;
  unsigned long last_before_;
};

}  // namespace tollgate::inline v0::openssl
