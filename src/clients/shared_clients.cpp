#include "clients/shared_clients.hpp"

#include <utility>

namespace tollgate::inline v0 {

SharedClients& SharedClients::instance() {
  static SharedClients& clients = *new SharedClients;
  return clients;
}

std::shared_ptr<RedisClient> SharedClients::find_or_make(const Url& url, const ClientOptions& options,
                                                         const Make& make) {
  Table& table = table_.get();
  const std::lock_guard lock{table.mutex};
  std::erase_if(table.entries, [](const Entry& entry) { return entry.client.expired(); });
  for (const Entry& entry : table.entries) {
    const bool is_same = entry.url == url && entry.observer == options.observer.get() &&
                         entry.connect_timeout == options.connect_timeout &&
                         entry.command_timeout == options.command_timeout && entry.tls == options.tls;
    if (!is_same) continue;
    if (auto client = entry.client.lock()) return client;
  }
  std::shared_ptr<RedisClient> client = make();
  table.entries.push_back(
      {url, options.connect_timeout, options.command_timeout, options.tls, options.observer.get(), client});
  return client;
}

}  // namespace tollgate::inline v0
