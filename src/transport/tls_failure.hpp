/// What went wrong in a TLS handshake, and what to change: texts for people. Pure; names from certificates, which the
/// peer chose, are escaped and cut.
/// Thread safety: plain functions.
#pragma once

#include <string>

#include "tollgate/client_options.hpp"
#include "tollgate/error.hpp"
#include "transport/openssl.hpp"

namespace tollgate::inline v0 {

/// The name that the server's certificate must have: TlsOptions::server_name, or else the host of the URL, without the
/// zone of a link-local address and without the dot behind a full name.
[[nodiscard]] std::string name_to_verify(const TlsOptions& options, const std::string& host);

/// Whether `name` is an address: certificates name addresses apart from host names.
[[nodiscard]] bool is_address(const std::string& name);

/// The failure for OpenSSL's verification error `error` (X509_V_ERR_…) at `certificate` of the server's chain, where
/// `depth` is 0 for the server's own. `name` is name_to_verify().
[[nodiscard]] Failure verification_failure(int error, int depth, const X509* certificate, const std::string& name,
                                           const TlsOptions& options);

/// The failure for the fatal alert `description` (RFC 8446, section 6) of the server.
[[nodiscard]] Failure alert_failure(int description, const std::string& name, const TlsOptions& options);

/// The failure when the server ended the connection in the handshake without an alert, as `how` says; a server that has
/// asked for a certificate does so when it refuses the answer.
[[nodiscard]] Failure end_in_handshake(const std::string& how, bool is_asked_for_certificate,
                                       const TlsOptions& options);

/// The failure when the first bytes of the server are no TLS record.
[[nodiscard]] Failure plain_server_failure();

}  // namespace tollgate::inline v0
