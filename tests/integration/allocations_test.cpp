// The steady state allocates nothing per decision: counted by a global operator new, with the client and the socket of
// a real redis-server included, with and without TLS.

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <tuple>
#include <vector>

#include "clients/memory_client.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_cluster.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace {

std::atomic<std::size_t> allocations{0};

}  // namespace

// GCC sees malloc behind one and free behind the other once they are inlined, and takes them for mismatched.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace tollgate {
namespace {

// OpenSSL's own allocations. They can be counted only when its functions are replaced before its first allocation.
std::atomic<std::size_t> of_openssl{0};

void* counted_malloc(std::size_t size, const char* /*file*/, int /*line*/) {
  of_openssl.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size);
}
void* counted_realloc(void* memory, std::size_t size, const char* /*file*/, int /*line*/) {
  of_openssl.fetch_add(1, std::memory_order_relaxed);
  return std::realloc(memory, size);
}
void counted_free(void* memory, const char* /*file*/, int /*line*/) { std::free(memory); }
const bool kCountsOpenssl = CRYPTO_set_mem_functions(&counted_malloc, &counted_realloc, &counted_free) == 1;

using namespace std::chrono_literals;

template <class Decide>
std::size_t counted(Decide decide) {
  for (int i = 0; i < 100; ++i) decide();  // pools and buffers find their size
  const std::size_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) decide();
  return allocations.load() - before;
}

enum class Transport { kPlain, kTls12, kTls13 };

class Allocations : public ::testing::TestWithParam<std::tuple<Transport, Admission>> {
 protected:
  static Admission admission() { return std::get<Admission>(GetParam()); }
  static Transport transport() { return std::get<Transport>(GetParam()); }
  static std::unique_ptr<testing::RedisServer> start(const testing::TlsCertificates& certificates) {
    if (transport() == Transport::kPlain) return std::make_unique<testing::RedisServer>();
    const char* const version = transport() == Transport::kTls12 ? "TLSv1.2" : "TLSv1.3";
    return std::make_unique<testing::RedisServer>(certificates, std::vector<std::string>{"--tls-protocols", version});
  }

  const testing::TlsCertificates certificates_;
  const std::unique_ptr<testing::RedisServer> server_ = start(certificates_);
  RedisRateLimiter limiter_{connect(server_->url(), {.command_timeout = 5s}),
                            {.max_tokens_per_minute = 1'000'000,
                             .admission = admission(),
                             .deny_memory = 0ms,
                             .clock = std::make_shared<testing::ManualClock>()}};
};

TEST_P(Allocations, TheCounterCounts) {
  const std::size_t before = allocations.load();
  ::operator delete(::operator new(1));
  EXPECT_EQ(allocations.load() - before, 1U);
}

// OpenSSL 3.0 allocates a few bytes for each record that it writes or reads, and frees them before it returns; no
// option of its turns that off. With TLS 1.3 a decision is two records and four such allocations, with 1.2 two.
TEST_P(Allocations, ThoseOfOpensslAreFewAndDoNotGrow) {
  ASSERT_TRUE(kCountsOpenssl);
  constexpr std::size_t kPerDecision = 4;
  const auto decide = [&] { ASSERT_TRUE(limiter_.check_and_consume("user_42@example.com", 10)); };
  counted(decide);
  const std::size_t before = of_openssl.load();
  for (int i = 0; i < 1000; ++i) decide();
  EXPECT_LE(of_openssl.load() - before, transport() == Transport::kPlain ? 0 : 1000 * kPerDecision);
}

TEST_P(Allocations, NoneForAnAdmittedRequest) {
  EXPECT_EQ(counted([&] { ASSERT_TRUE(limiter_.check_and_consume("user_42@example.com", 10)); }), 0U);
}

TEST_P(Allocations, NoneForADeniedRequestAndItsUndo) {
  ASSERT_TRUE(limiter_.check_and_consume("user_42@example.com", 1'000'000));
  EXPECT_EQ(counted([&] { ASSERT_FALSE(limiter_.check_and_consume("user_42@example.com", 10)); }), 0U);
}

TEST_P(Allocations, NoneForAPeek) {
  ASSERT_TRUE(limiter_.check_and_consume("user_42@example.com", 10));
  EXPECT_EQ(counted([&] { ASSERT_EQ(limiter_.get_remaining("user_42@example.com"), 999'990); }), 0U);
}

TEST_P(Allocations, NoneForARememberedDenial) {
  RedisRateLimiter limiter{connect(server_->url(), {.command_timeout = 5s}),
                           {.max_tokens_per_minute = 1'000'000,
                            .admission = admission(),
                            .clock = std::make_shared<testing::ManualClock>()}};
  ASSERT_TRUE(limiter.check_and_consume("user_42@example.com", 1'000'000));
  EXPECT_EQ(counted([&] { ASSERT_FALSE(limiter.check_and_consume("user_42@example.com", 10)); }), 0U);
  EXPECT_EQ(limiter.consume("user_42@example.com", 10).source, Source::kLocal);
}

// A user's first request in a minute makes a key, and so allocates; those after it do not.
TEST_P(Allocations, NoneInMemoryForUsersWhoHaveAKey) {
  RedisRateLimiter limiter{std::make_shared<MemoryClient>(),
                           {.max_tokens_per_minute = 1'000'000,
                            .admission = admission(),
                            .clock = std::make_shared<testing::ManualClock>()}};
  const std::vector<std::string> users{"user_42@example.com", "user_43@example.com", "user_44@example.com"};
  EXPECT_EQ(counted([&, i = 0U]() mutable { ASSERT_TRUE(limiter.check_and_consume(users[i++ % users.size()], 10)); }),
            0U);
  EXPECT_EQ(counted([&] { ASSERT_GT(limiter.get_remaining(users[0]), 0); }), 0U);
  EXPECT_EQ(counted([&] { ASSERT_FALSE(limiter.check_and_consume(users[0], 1'000'000)); }), 0U);
}

INSTANTIATE_TEST_SUITE_P(, Allocations,
                         ::testing::Combine(::testing::Values(Transport::kPlain, Transport::kTls12, Transport::kTls13),
                                            ::testing::Values(Admission::kPipelined, Admission::kAtomic)),
                         [](const auto& test) {
                           const Transport transport = std::get<Transport>(test.param);
                           return std::string{transport == Transport::kPlain   ? "Plain"
                                              : transport == Transport::kTls12 ? "Tls12"
                                                                               : "Tls13"} +
                                  (std::get<Admission>(test.param) == Admission::kAtomic ? "Atomic" : "Pipelined");
                         });

class AllocationsOnACluster : public ::testing::TestWithParam<Admission> {};

TEST_P(AllocationsOnACluster, NoneForAnAdmittedRequestNorForADeniedOneAndItsUndo) {
  const testing::RedisCluster cluster;
  RedisRateLimiter limiter{connect(cluster.url(), {.command_timeout = 5s}),
                           {.max_tokens_per_minute = 1'000'000,
                            .admission = GetParam(),
                            .deny_memory = 0ms,
                            .clock = std::make_shared<testing::ManualClock>()}};
  EXPECT_EQ(counted([&] { ASSERT_TRUE(limiter.check_and_consume("user_42@example.com", 10)); }), 0U);
  EXPECT_EQ(counted([&] { ASSERT_FALSE(limiter.check_and_consume("user_42@example.com", 1'000'000)); }), 0U);
}

INSTANTIATE_TEST_SUITE_P(, AllocationsOnACluster, ::testing::Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& test) { return test.param == Admission::kAtomic ? "Atomic" : "Pipelined"; });

}  // namespace
}  // namespace tollgate
