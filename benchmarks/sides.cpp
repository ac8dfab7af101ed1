#include "sides.hpp"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "plain_limiter.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "values/url.hpp"

namespace tollgate::benchmarks {
namespace {

using tests::PlainLimiter;

/// Long timeouts, so that a stalled machine causes a slow call and not a failed one.
constexpr std::chrono::seconds kTimeout{20};

void check(bool as_expected) {
  if (!as_expected) throw std::runtime_error("a decision was not what it has to be");
}

// --- tollgate

/// One per client.
std::vector<std::shared_ptr<RedisRateLimiter>> make_limiters(const SideOptions& options) {
  std::vector<std::shared_ptr<RedisRateLimiter>> limiters;
  limiters.reserve(static_cast<std::size_t>(options.clients));
  for (int i = 0; i < options.clients; ++i) {
    limiters.push_back(std::make_shared<RedisRateLimiter>(
        connect(options.url, {.connect_timeout = kTimeout, .command_timeout = kTimeout}), options.config));
  }
  return limiters;
}

Side tollgate_side(const SideOptions& options, const Users& users) {
  return {.threads = options.threads, .make_call = [limiters = make_limiters(options), &users](int thread) -> Call {
            return [limiter = limiters[static_cast<std::size_t>(thread) % limiters.size()],
                    queue = Queue{users, thread}]() mutable {
              const Users::Request request = queue.next();
              check(limiter->check_and_consume(request.user) == request.allowed);
              return 1;
            };
          }};
}

Side tollgate_pipelined(const SideOptions& given, const Users& users) {
  SideOptions options = given;
  options.config.admission = Admission::kPipelined;
  return tollgate_side(options, users);
}

Call consume_many(std::shared_ptr<RedisRateLimiter> limiter, int depth, const Users& users, int thread) {
  std::vector<ConsumeRequest> requests(static_cast<std::size_t>(depth));
  return [limiter = std::move(limiter), requests, queue = Queue{users, thread}]() mutable {
    std::ptrdiff_t expected = 0;
    for (ConsumeRequest& request : requests) {
      const Users::Request next = queue.next();
      request.user_id = next.user;
      if (next.allowed) ++expected;
    }
    const std::vector<Decision> decisions = limiter->consume_all(requests);
    check(std::count_if(decisions.begin(), decisions.end(), [](const Decision& d) { return d.allowed; }) == expected);
    return static_cast<int>(decisions.size());
  };
}

Side consume_all(const SideOptions& options, const Users& users) {
  return {.threads = options.threads,
          .make_call = [limiters = make_limiters(options), depth = options.depth, &users](int thread) {
            return consume_many(limiters[static_cast<std::size_t>(thread) % limiters.size()], depth, users, thread);
          }};
}

// --- plain hiredis

std::shared_ptr<PlainLimiter> connect_plainly(const SideOptions& options) {
  const Url url = Url::parse(options.url);
  redisContext* context = url.scheme() == Url::Scheme::kUnix ? redisConnectUnix(url.path().c_str())
                                                             : redisConnect(url.host().c_str(), url.port());
  return std::make_shared<PlainLimiter>(context, options.config.max_tokens_per_minute);
}

Call call_one(std::shared_ptr<PlainLimiter> limiter, Queue requests) {
  return [limiter = std::move(limiter), queue = requests]() mutable {
    const Users::Request request = queue.next();
    check(limiter->check_and_consume(request.user) == request.allowed);
    return 1;
  };
}

Side connection_per_thread(const SideOptions& options, const Users& users) {
  return {.threads = options.threads, .make_call = [options, &users](int thread) {
            return call_one(connect_plainly(options), {users, thread});
          }};
}

Side lone_plain_times_threads(const SideOptions& options, const Users& users) {
  Side side = connection_per_thread(options, users);
  side.factor = std::exchange(side.threads, 1);
  return side;
}

/// Whatever tollgate's users get. A plain denial takes two round trips.
Side lone_plain_allowed_times_threads(const SideOptions& options, const Users& users) {
  Side side = lone_plain_times_threads(options, users);
  side.make_call = [options, &users](int thread) {
    return call_one(connect_plainly(options), {users, thread, Mix::kAllow});
  };
  return side;
}

Side one_connection_with_mutex(const SideOptions& options, const Users& users) {
  struct Shared {
    std::mutex mutex;
    std::shared_ptr<PlainLimiter> limiter;
  };
  const auto shared = std::make_shared<Shared>();
  shared->limiter = connect_plainly(options);
  return {.threads = options.threads, .make_call = [shared, &users](int thread) -> Call {
            return [shared, queue = Queue{users, thread}]() mutable {
              const Users::Request request = queue.next();
              const std::lock_guard lock{shared->mutex};
              check(shared->limiter->check_and_consume(request.user) == request.allowed);
              return 1;
            };
          }};
}

Call call_many(std::shared_ptr<PlainLimiter> limiter, int depth, const Users& users, int thread) {
  std::vector<const std::string*> asking(static_cast<std::size_t>(depth));
  return [limiter = std::move(limiter), asking, queue = Queue{users, thread}]() mutable {
    std::size_t expected = 0;
    for (const std::string*& user : asking) {
      const Users::Request request = queue.next();
      user = &request.user;
      if (request.allowed) ++expected;
    }
    check(limiter->check_and_consume_all(asking) == expected);
    return static_cast<int>(asking.size());
  };
}

Side plain_depth(const SideOptions& options, const Users& users) {
  return {.threads = options.threads, .make_call = [options, &users](int thread) {
            return call_many(connect_plainly(options), options.depth, users, thread);
          }};
}

/// The most decisions that Redis can make when no caller waits for a single one: two connections with large batches.
Side ceiling(const SideOptions& given, const Users& users) {
  SideOptions options = given;
  options.threads = 2;
  options.depth = 512;
  return plain_depth(options, users);
}

using MakeSide = Side (*)(const SideOptions&, const Users&);

const std::vector<std::pair<std::string, MakeSide>>& sides() {
  static const std::vector<std::pair<std::string, MakeSide>> all{
      {"tollgate", tollgate_side},
      {"tollgate_pipelined", tollgate_pipelined},
      {"consume_all", consume_all},
      {"connection_per_thread", connection_per_thread},
      {"one_connection_with_mutex", one_connection_with_mutex},
      {"lone_plain_times_threads", lone_plain_times_threads},
      {"lone_plain_allowed_times_threads", lone_plain_allowed_times_threads},
      {"plain_depth", plain_depth},
      {"ceiling", ceiling},
  };
  return all;
}

}  // namespace

const std::vector<std::string>& side_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const auto& [name, make] : sides()) result.push_back(name);
    return result;
  }();
  return names;
}

Side make_side(const std::string& name, const SideOptions& options, const Users& users) {
  for (const auto& [known, make] : sides()) {
    if (known == name) return make(options, users);
  }
  throw std::invalid_argument("no side is called " + name);
}

}  // namespace tollgate::benchmarks
