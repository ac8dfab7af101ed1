// A limiter that is alive may be used at any point of a thread's or the program's life: in destructors of thread-local
// and static objects, in exit handlers, and with a charge in flight when main returns. Each test is a program of its
// own, whose exit code, output (a sanitizer's report) and effect on the counter are examined.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "testing/child_process.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

struct Program {
  const char* variant;
  bool leaves_eleven_tokens = true;  // the sum of all counters afterwards
};

std::ostream& operator<<(std::ostream& out, const Program& program) { return out << program.variant; }

class Lifetime : public ::testing::TestWithParam<Program> {
 protected:
  Lifetime() = default;
  explicit Lifetime(const testing::TlsCertificates& certificates) : server_(certificates) {}

  /// The exit code of the program; that of a signal is negative.
  int run(const std::string& url, pid_t server) {
    const pid_t pid = testing::start_child({LIFETIME_PROGRAM, GetParam().variant, url, std::to_string(server)},
                                           server_.directory(), log_);
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return -1000;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] std::string output() const {
    std::ifstream log{log_, std::ios::binary};
    return {std::istreambuf_iterator<char>{log}, {}};
  }
  [[nodiscard]] std::int64_t charged_in_all() const {
    std::int64_t sum = 0;
    const Reply keys = server_.command({"KEYS", "ractogateway:ratelimit:*"});
    for (const Reply& key : keys.elements()) sum += server_.command({"GET", key.text()}).to_integer().value_or(0);
    return sum;
  }

  testing::RedisServer server_;
  const std::string log_ = server_.directory() + "/program";
};

TEST_P(Lifetime, OnARedisServer) {
  EXPECT_EQ(run(server_.url() + "?command_timeout_ms=2000", server_.pid()), 0);
  EXPECT_EQ(output(), "");
  server_.resume();
  if (GetParam().leaves_eleven_tokens) {
    EXPECT_EQ(charged_in_all(), 11);
  }
}

TEST_P(Lifetime, InMemory) {
  EXPECT_EQ(run("memory://", 0), 0);
  EXPECT_EQ(output(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Programs, Lifetime,
    ::testing::Values(Program{"charge_in_thread_local_destructor"},
                      Program{"charge_in_thread_local_destructor_of_main"}, Program{"charge_many_at_thread_end"},
                      Program{"settle_at_thread_end"}, Program{"limiter_of_each_thread"},
                      Program{"settle_in_static_destructor"}, Program{"settle_after_all_other_statics"},
                      Program{"cancel_after_all_other_statics"}, Program{"drop_a_static_reservation"},
                      Program{"charge_after_all_other_statics"}, Program{"charge_in_an_exit_handler"},
                      Program{"exit_right_after_the_first_settle"},
                      Program{"exit_right_after_the_first_settle_of_a_static"},
                      Program{"return_after_a_timeout_of_a_slow_server", false},
                      Program{"return_after_a_timeout_of_a_stopped_server", false}),
    [](const auto& program) { return std::string{program.param.variant}; });

// With TLS, a limiter lives as long as OpenSSL: until the exit handler that OpenSSL registered when the first client
// was made. A limiter that was made with that client, or later, ends before.
struct Certificates {
  testing::TlsCertificates certificates;
};

class LifetimeWithTls : private Certificates, public Lifetime {
 protected:
  LifetimeWithTls() : Lifetime(certificates) {}
};

TEST_P(LifetimeWithTls, OnARedisServer) {
  EXPECT_EQ(run(server_.url() + "&command_timeout_ms=2000", 0), 0);
  EXPECT_EQ(output(), "");
  if (GetParam().leaves_eleven_tokens) {
    EXPECT_EQ(charged_in_all(), 11);
  }
}

INSTANTIATE_TEST_SUITE_P(Programs, LifetimeWithTls,
                         ::testing::Values(Program{"charge_in_thread_local_destructor"},
                                           Program{"charge_in_thread_local_destructor_of_main"},
                                           Program{"settle_at_thread_end"}, Program{"limiter_of_each_thread"},
                                           Program{"drop_a_static_reservation"}, Program{"try_after_openssl_has_ended"},
                                           Program{"exit_right_after_the_first_settle"},
                                           Program{"exit_right_after_the_first_settle_of_a_static"},
                                           Program{"settle_after_all_other_statics", false},
                                           Program{"cancel_after_all_other_statics", false}),
                         [](const auto& program) { return std::string{program.param.variant}; });

}  // namespace
}  // namespace tollgate::tests
