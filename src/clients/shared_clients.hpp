/// The clients that limiters of this process share, by URL and options. A client is destroyed with its last limiter.
/// Thread safety: all of it, also in a forked child, which begins with none.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "tollgate/client_options.hpp"
#include "tollgate/redis_client.hpp"
#include "values/fork_local.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class SharedClients {
 public:
  using Make = std::function<std::shared_ptr<RedisClient>()>;

  /// Never destroyed, so that limiters may be made at any time of the program's life.
  [[nodiscard]] static SharedClients& instance();

  /// The existing client for this URL and these options, or the one that `make` returns.
  [[nodiscard]] std::shared_ptr<RedisClient> find_or_make(const Url& url, const ClientOptions& options,
                                                          const Make& make);

 private:
  struct Entry {
    Url url;
    std::chrono::milliseconds connect_timeout;
    std::chrono::milliseconds command_timeout;
    TlsOptions tls;
    const Observer* observer;  // owned by the client
    std::weak_ptr<RedisClient> client;
  };
  struct Table {
    std::mutex mutex;
    std::vector<Entry> entries;
  };

  detail::ForkLocal<Table> table_;
};

}  // namespace tollgate::inline v0
