/// From a URL to a client. Thread safety: connect() may be called from every thread; so may the client it returns.
#pragma once

#include <memory>
#include <string_view>

#include "tollgate/client_options.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

/// A client for `url` (see Url). Throws std::invalid_argument on a malformed URL, on `rediss://` (this build has no
/// TLS) and on timeouts out of range. Does no I/O: the client connects at its first use.
/// Each call makes a client of its own: with connections of its own (one under load, up to four while few calls are
/// under way), or for `memory://` with a store of its own.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options = {});

}  // namespace tollgate::inline v0
