#include "tollgate/connect.hpp"

#include <fmt/format.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "clients/cluster_client.hpp"
#include "clients/memory_client.hpp"
#include "clients/shared_clients.hpp"
#include "clients/standalone_client.hpp"
#include "transport/tls_context.hpp"
#include "values/background_thread.hpp"
#include "values/non_blocking_release.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {
namespace {

std::chrono::milliseconds checked_timeout(const char* field, std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours{1};
  if (timeout.count() < 1 || timeout > kLongest) {
    throw std::invalid_argument(
        fmt::format("tollgate: {} is {} ms; it must be 1 … {} ms", field, timeout.count(), kLongest.count()));
  }
  return timeout;
}

/// The fields that the URL names win over those of `options`.
TlsOptions merged(TlsOptions options, const TlsOptions& url) {
  for (const auto field : {&TlsOptions::ca_file, &TlsOptions::ca_path, &TlsOptions::cert_file, &TlsOptions::key_file,
                           &TlsOptions::server_name}) {
    if (!(url.*field).empty()) options.*field = url.*field;
  }
  return options;
}

ClientOptions checked(ClientOptions options, const Url& url) {
  options.connect_timeout = checked_timeout("connect_timeout", url.connect_timeout().value_or(options.connect_timeout));
  options.command_timeout = checked_timeout("command_timeout", url.command_timeout().value_or(options.command_timeout));
  options.tls = merged(std::move(options.tls), url.tls());
  if (const std::string fault = TlsContext::fault_in(options.tls); !fault.empty()) {
    throw std::invalid_argument("tollgate: " + fault);
  }
  return options;
}

/// Destroys a client, which waits for its posts. Where the last owner must not block, another thread does this; where
/// none can be started, the calling thread.
struct EndClient {
  void operator()(RedisClient* client) const noexcept {
    if (!detail::NonBlockingRelease::active()) {
      delete client;
      return;
    }
    try {
      detail::start_background_thread([client] { delete client; }).detach();
    } catch (const std::exception&) {  // the process keeps it: to wait here could be to wait for this very thread
    }
  }
};

std::shared_ptr<RedisClient> make_client(const Url& url, const ClientOptions& options) {
  if (url.scheme() == Url::Scheme::kMemory) return std::make_shared<MemoryClient>(options.clock);
  if (url.topology() == Topology::kCluster) return {new ClusterClient{url, options}, EndClient{}};
  return {new StandaloneClient{url, options}, EndClient{}};
}

}  // namespace

std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options) {
  const Url parsed = Url::parse(url);
  return make_client(parsed, checked(std::move(options), parsed));
}

std::shared_ptr<RedisClient> connect_shared(std::string_view url, ClientOptions options) {
  const Url parsed = Url::parse(url);
  options = checked(std::move(options), parsed);
  // Credentials callbacks cannot be compared, and each memory:// is a new store.
  if (options.credentials || parsed.scheme() == Url::Scheme::kMemory) return make_client(parsed, options);
  return SharedClients::instance().find_or_make(parsed, options, [&] { return make_client(parsed, options); });
}

}  // namespace tollgate::inline v0
