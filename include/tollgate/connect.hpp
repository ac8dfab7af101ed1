/// From a URL to a client. The forms of a URL, with [ ] around what may be left out:
///
///     redis://[[[user][:password]@]host[:port]][/database]               one server; defaults: localhost, 6379, 0
///     redis+sentinel://[login@]host[:port],host[:port],…/service[/database]
///                                                                        the primary that these sentinels name
///     redis+cluster://[login@]host[:port],host[:port],…                  a Redis Cluster, found by any of these nodes
///     unix://[login@]/path/of.sock                                       a Unix socket
///     memory://                                                          a store in this process, without the rest
///
/// `rediss` in place of `redis` encrypts every connection by TLS; `valkey` and `valkeys` are the same as `redis` and
/// `rediss`. The default port of a sentinel is 26379. Parameters stand behind `?` and are joined by `&`:
///
///     db=N                                            the database, as in the path; a Cluster has 0 alone
///     connect_timeout_ms=N  command_timeout_ms=N      1 … 3'600'000, the timeouts of ClientOptions
///     ca_file=  ca_path=  cert_file=  key_file=  server_name=    with TLS: those of TlsOptions
///     sentinel_user=  sentinel_password=              with +sentinel: to log in at the sentinels
///
/// An IPv6 address stands in [ ]. Parts are percent-encoded where they hold one of / ? # @ % or, in the query, &.
/// AUTH is sent where there is a password: `user:@` has an empty one, `user@` and `:@` have none.
/// Which URL leads to which managed Redis: docs/topologies.md.
///
/// A Cluster's primaries and their slots are found by asking any node. Each primary has connections and a circuit
/// breaker of its own, so that one that fails does not fail the users of the others. Thread safety: both functions may
/// be called from every thread; so may the clients that they return.
#pragma once

#include <memory>
#include <string_view>

#include "tollgate/client_options.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

/// A private client for `url`: with connections of its own to each server that it uses, one under load and up to four
/// while few calls are under way (a fifth for RedisRateLimiter::reset and the slots of a Cluster), or for `memory://`
/// with a store of its own. Throws std::invalid_argument on a malformed URL and on timeouts out of range. Does no I/O:
/// the client connects at its first use. When the last owner releases it, that blocks until posts have been answered,
/// for the command timeout at most.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options = {});

/// As connect(), but returns the client that this process already has for the same URL, timeouts and observer. Limiters
/// made from a URL use this, because several clients of one server are slower than one (two: 0.85, four: 0.42 of one
/// client's decisions per second with 16 threads). Limiters that share a client share its circuit breaker and its
/// statistics. Never shared are a client with a credentials callback and the stores of `memory://`; a forked child
/// shares none with its parent.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect_shared(std::string_view url,
                                                                          ClientOptions options = {});

}  // namespace tollgate::inline v0
