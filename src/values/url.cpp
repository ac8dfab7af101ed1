#include "values/url.hpp"

#include <fmt/format.h>

#include "values/url_text.hpp"

namespace tollgate::inline v0 {

std::string HostAndPort::to_string() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  // All of it is encoded, because the host may be one that a sentinel or a node of a Cluster has reported.
  const std::string written = is_ipv6 ? '[' + detail::encode_percent(host, ":") + ']' : detail::encode_percent(host);
  return fmt::format("{}:{}", written, port);
}

std::string Url::to_string() const {
  if (scheme_ == Scheme::kMemory) return "memory://";
  if (scheme_ == Scheme::kUnix) return fmt::format("unix://{}?db={}", detail::encode_percent(path_, "/"), database_);
  std::string hosts;
  for (const HostAndPort& server : hosts_) {
    if (!hosts.empty()) hosts += ',';
    hosts += server.to_string();
  }
  const char* const scheme = is_encrypted() ? "rediss" : "redis";
  switch (topology_) {
    case Topology::kSentinel:
      return fmt::format("{}+sentinel://{}/{}/{}", scheme, hosts, detail::encode_percent(service_), database_);
    case Topology::kCluster: return fmt::format("{}+cluster://{}", scheme, hosts);
    case Topology::kStandalone: break;
  }
  return fmt::format("{}://{}/{}", scheme, hosts, database_);
}

}  // namespace tollgate::inline v0
