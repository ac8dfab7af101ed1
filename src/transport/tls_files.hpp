/// The files that TlsOptions names, and what they hold. Reading blocks as any read of a local file.
/// Thread safety: plain functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tollgate/client_options.hpp"
#include "transport/openssl.hpp"

namespace tollgate::inline v0 {

/// The texts of the files; overwritten when they are destroyed, because one holds a private key. `error` says which
/// file cannot be read, and why.
struct TlsFiles {
  TlsFiles() = default;
  TlsFiles(TlsFiles&&) = default;
  TlsFiles& operator=(TlsFiles&&) = default;
  ~TlsFiles();

  std::string ca = {};
  std::string certificate = {};
  std::string key = {};  ///< of `certificate`; its own text where TlsOptions::key_file is empty
  std::string error = {};
};

/// Throws std::bad_alloc.
[[nodiscard]] TlsFiles read_tls_files(const TlsOptions& options);

/// The certificates in a PEM text, in their order. Those before a malformed one are returned, and `error` is set.
struct PemCertificates {
  std::vector<openssl::Certificate> certificates;
  std::string error = {};
};
[[nodiscard]] PemCertificates parse_certificates(std::string_view pem);

/// The private key in a PEM text; null when there is none, with the reason in `error`.
struct PemKey {
  openssl::PrivateKey key;
  std::string error = {};
};
[[nodiscard]] PemKey parse_private_key(std::string_view pem);

}  // namespace tollgate::inline v0
