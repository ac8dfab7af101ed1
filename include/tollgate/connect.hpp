/// From a URL to a client. Thread safety: connect() may be called from every thread; so may the client it returns.
#pragma once

#include <memory>
#include <string_view>

#include "tollgate/client_options.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

/// A client of its own for `url` (see README): with connections of its own, one under load and up to four while few
/// calls are under way, or for `memory://` with a store of its own. Throws std::invalid_argument on a malformed URL and
/// on timeouts out of range. Does no I/O: the client connects at its first use. The end of the last owner blocks for
/// the command timeout at most, until what was posted has been answered.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options = {});

/// As connect(), but returns the client that this process already has for the same URL, timeouts and observer: limiters
/// made from a URL use this, since several clients of one server are slower than one (two 0.85, four 0.42 of one
/// client's decisions per second with 16 threads). A client with a credentials callback, and each store of `memory://`,
/// is never shared. After a fork the child shares none with its parent.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect_shared(std::string_view url,
                                                                          ClientOptions options = {});

}  // namespace tollgate::inline v0
