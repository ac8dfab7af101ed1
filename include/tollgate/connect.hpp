/// Makes a client from a URL. Thread safety: every function, and every client, may be called from all threads.
#pragma once

#include <memory>
#include <string_view>

#include "tollgate/client_options.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/redis_client.hpp"

namespace tollgate::inline v0 {

/// Makes a new client for `url` (see README), which shares no connection with other clients: it uses up to four
/// connections while few calls are in flight and one under load; for `memory://`, a new store. Throws
/// std::invalid_argument on a malformed URL and on timeouts out of range. Does no I/O: the client connects at its first
/// use. The destructor of the last owner blocks until every post has been answered, for the command timeout at most.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect(std::string_view url, ClientOptions options = {});

/// As connect(), but returns the existing client of this process for the same URL, timeouts and observer, if there is
/// one. Limiters made from a URL use this, because several clients of one server are slower than one (with 16 threads,
/// two reach 0.85 and four 0.42 of the decisions per second of one). Clients with a credentials callback and stores of
/// `memory://` are never shared. After a fork the child shares no client with its parent.
[[nodiscard]] TOLLGATE_EXPORT std::shared_ptr<RedisClient> connect_shared(std::string_view url,
                                                                          ClientOptions options = {});

}  // namespace tollgate::inline v0
