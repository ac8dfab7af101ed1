/// Connections to the primary of a service, as its sentinels name it: each attempt to connect asks them anew, so that
/// the first attempt after a failover leads to the new primary. The search and the connecting share the connect
/// timeout: each sentinel and each server has its share of the rest.
/// Thread safety: all of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "clients/sentinel_search.hpp"
#include "tollgate/client_options.hpp"
#include "transport/connection_source.hpp"
#include "transport/connector.hpp"
#include "transport/tls_context.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class SentinelConnections final : public ConnectionSource {
 public:
  /// `url` is one with +sentinel. No I/O.
  SentinelConnections(Url url, const ClientOptions& options);

  [[nodiscard]] std::unique_ptr<PendingConnection> begin(Handshake handshake, PendingConnection::Time now) override;

 private:
  class Attempt;

  /// One TLS context per host, because it verifies the host's name; null where there is no TLS.
  [[nodiscard]] std::shared_ptr<TlsContext> tls_for(const std::string& host);

  const Url url_;
  const TlsOptions tls_options_;
  const std::chrono::milliseconds connect_timeout_;
  Login sentinel_login_;
  Login primary_login_;
  std::atomic<std::size_t> last_good_{0};  // index of the sentinel that last named the primary

  struct NamedContext {
    std::string host;
    std::shared_ptr<TlsContext> context;
  };
  std::mutex mutex_;  // guards tls_
  std::vector<NamedContext> tls_;
};

}  // namespace tollgate::inline v0
