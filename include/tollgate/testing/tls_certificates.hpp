/// Certificates for tests of TLS, made when they are needed, so that none is committed and expires: a CA of its own,
/// one certificate for a server on this host, one for a client, and any others that a test asks for. The files lie in a
/// temporary folder, which the destructor deletes.
///
///     tollgate::testing::TlsCertificates certificates;
///     tollgate::testing::RedisServer server{certificates};
///     tollgate::RedisRateLimiter limiter{server.url()};
///
/// Link `tollgate::testing`. Thread safety: from all threads, but issue() from one at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace tollgate::inline v0::testing {

class TlsCertificates {
 public:
  /// A certificate and its private key (EC P-256), in PEM form.
  struct Pair {
    std::string cert_file;
    std::string key_file;
  };

  /// What a certificate is for, and when.
  struct Request {
    std::vector<std::string> host_names = {"localhost"};
    std::vector<std::string> addresses = {"127.0.0.1", "::1"};
    std::chrono::hours valid_from{-1};  ///< from now on
    std::chrono::hours valid_for{24};   ///< from now on; negative = expired
  };

  /// Makes the CA and both certificates. Throws std::runtime_error, as every function here, when that fails.
  TlsCertificates();
  TlsCertificates(const TlsCertificates&) = delete;
  TlsCertificates& operator=(const TlsCertificates&) = delete;
  ~TlsCertificates();

  [[nodiscard]] const std::string& ca_file() const noexcept { return ca_file_; }
  [[nodiscard]] const Pair& server() const noexcept { return server_; }  ///< for localhost, 127.0.0.1 and ::1
  [[nodiscard]] const Pair& client() const noexcept { return client_; }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

  /// One more certificate of this CA, in files of its own.
  [[nodiscard]] Pair issue(const Request& request);

 private:
  struct Authority;

  const std::string directory_;
  const pid_t owner_;
  const std::string ca_file_;
  const std::unique_ptr<const Authority> authority_;
  int issued_ = 0;
  Pair server_;
  Pair client_;
};

}  // namespace tollgate::inline v0::testing
