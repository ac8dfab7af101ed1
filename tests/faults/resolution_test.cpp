// Names that are hard to resolve, on a network of the test's own with a real redis-server. Each test is a process,
// since one that has threads cannot enter another user namespace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "faults/name_server.hpp"
#include "faults/private_network.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/error.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using tollgate::testing::RedisServer;

/// Runs `body` in a process of its own, whose failure is that of this test.
template <class Body>
void run_in_a_process(Body body) {
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    try {
      body();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0) << "the process says more";
}

std::string url_of(const std::string& host, const RedisServer& server) {
  return "redis://" + host + ":" + std::to_string(server.port()) + "?connect_timeout_ms=20000&command_timeout_ms=20000";
}

/// A look-up sends two queries: one for an IPv4 address and one for an IPv6 address.
void wait_for_questions(const NameServer& name_server, int count) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (name_server.questions() < count && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(name_server.questions(), count);
}

TEST(Resolution, FindsLocalhostOnAHostWithIpv6Only) {
  for (const std::string hosts : {"127.0.0.1 localhost\n", "127.0.0.1 localhost\n::1 localhost\n"}) {
    run_in_a_process([&] {
      enter_private_network(hosts);
      add_ipv6_network();
      const RedisServer server{{"--bind", "127.0.0.1"}};
      RedisRateLimiter{url_of("localhost", server)}.ping();
    });
  }
}

TEST(Resolution, FindsLocalhostWhenRedisListensOnIpv6Only) {
  run_in_a_process([] {
    enter_private_network("127.0.0.1 localhost\n::1 localhost\n");
    add_ipv4_network();
    const RedisServer server;
    server.command({"CONFIG", "SET", "bind", "::1"});
    RedisRateLimiter{url_of("localhost", server)}.ping();
  });
}

TEST(Resolution, FindsALoopbackNameOfTheHostsFileOnAHostWithIpv6Only) {
  run_in_a_process([] {
    enter_private_network("127.0.0.1 localhost\n127.0.0.1 cache.internal\n");
    add_ipv6_network();
    const RedisServer server{{"--bind", "127.0.0.1"}};
    RedisRateLimiter{url_of("cache.internal", server)}.ping();
  });
}

TEST(Resolution, SaysThatLocalhostRefusesWhereItHasNoIpv6) {
  run_in_a_process([] {
    enter_private_network("127.0.0.1 localhost\n2001:db8::2 localhost\n");  // without a route to the second
    add_ipv4_network();
    try {
      RedisRateLimiter{"redis://localhost:1"}.ping();
      ADD_FAILURE() << "nothing listens there";
    } catch (const ConnectionError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("Connection refused"));
    }
  });
}

TEST(Resolution, QueriesASilentNameServerOnceForAllClients) {
  run_in_a_process([] {
    enter_private_network("127.0.0.1 localhost\n");
    NameServer name_server;
    const RedisServer server{{"--bind", "127.0.0.1"}};
    std::vector<std::unique_ptr<RedisRateLimiter>> limiters;
    for (int i = 0; i < 8; ++i) limiters.push_back(std::make_unique<RedisRateLimiter>(url_of("cache.test", server)));

    for (const auto& limiter : limiters) {
      EXPECT_THROW(limiter->ping({.deadline = std::chrono::steady_clock::now() + 100ms}), Error);
    }
    wait_for_questions(name_server, 2);

    name_server.answer();
    for (const auto& limiter : limiters) limiter->ping();
  });
}

// A forked child does not have the thread that looks a name up, and must not wait for it.
TEST(Resolution, LooksANameUpAgainInAForkedChild) {
  run_in_a_process([] {
    enter_private_network("127.0.0.1 localhost\n");
    NameServer name_server;
    const RedisServer server{{"--bind", "127.0.0.1"}};
    RedisRateLimiter limiter{url_of("cache.test", server)};
    const auto ping = [&limiter] {
      EXPECT_THROW(limiter.ping({.deadline = std::chrono::steady_clock::now() + 100ms}), Error);
    };
    ping();
    wait_for_questions(name_server, 2);
    run_in_a_process(ping);
    wait_for_questions(name_server, 4);  // the child's two, too
    ping();
    EXPECT_EQ(name_server.questions(), 4) << "the parent's look-up is still under way";
  });
}

}  // namespace
}  // namespace tollgate::tests
