// Uses a limiter at the end of a thread or of the program: lifetime_program <variant> <url> <pid of the server>.
// Exit code 0: every call was answered as it should be; 3: one was not. tests/faults/lifetime_test.cpp runs each
// variant.

#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tollgate/redis_rate_limiter.hpp"

// For LeakSanitizer: after OpenSSL's exit handler has run, its objects must not be freed.
// NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto.so\nleak:libssl.so\n"; }
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
// NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

namespace {

using namespace std::chrono_literals;
using tollgate::RedisRateLimiter;
using tollgate::Reservation;

/// Long enough to be on the heap wherever the library keeps it.
constexpr std::size_t kUserLength = 400;
constexpr char kUserByte = 'u';

void check(bool holds) {
  if (!holds) ::_exit(3);
}

std::string user() { return std::string(kUserLength, kUserByte); }

/// Runs a function when it is destroyed.
class AtEnd {
 public:
  AtEnd() = default;
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;
  ~AtEnd() {
    if (run_) run_();
  }
  void run(std::function<void()> work) { run_ = std::move(work); }

 private:
  std::function<void()> run_;
};

/// The program's first static objects: they are destroyed after every other static, those of the library included.
AtEnd first_static;                         // NOLINT(cert-err58-cpp)
std::optional<Reservation> first_reserved;  // destroyed before first_static, which must not touch it

thread_local AtEnd thread_end;

std::string url;  // NOLINT(cert-err58-cpp)
pid_t server = 0;

/// Never destroyed.
RedisRateLimiter& immortal() {
  static auto* const limiter = new RedisRateLimiter{url};
  return *limiter;
}

void charge_at_thread_end(RedisRateLimiter& limiter) {
  thread_end.run([&limiter] { check(limiter.check_and_consume(user(), 10)); });  // made before the first call
  check(limiter.check_and_consume(user(), 1));
}

void in_a_thread(const std::function<void()>& work) { std::thread{work}.join(); }

// ---- at a thread's end --------------------------------------------------------------------------------------------

void charge_in_thread_local_destructor() {
  in_a_thread([] { charge_at_thread_end(immortal()); });
}

void charge_in_thread_local_destructor_of_main() { charge_at_thread_end(immortal()); }

void charge_many_at_thread_end() {
  in_a_thread([] {
    thread_end.run([] {
      const std::string id = user();
      const std::array<tollgate::ConsumeRequest, 2> requests{{{id, 4}, {id, 6}}};
      for (const tollgate::Decision& decision : immortal().consume_all(requests)) check(decision.allowed);
    });
    check(immortal().check_and_consume(user(), 1));
  });
}

void settle_at_thread_end() {
  in_a_thread([] {
    thread_end.run(
        [reservation = std::make_shared<Reservation>(immortal().reserve(user(), 5'000))] { reservation->settle(11); });
  });
}

/// The limiter is made after thread_end, so it is destroyed before thread_end runs.
void limiter_of_each_thread() {
  for (int i = 0; i < 2; ++i) {
    in_a_thread([] {
      thread_end.run([] { check(immortal().check_and_consume(user(), 1)); });
      thread_local std::unique_ptr<RedisRateLimiter> mine;
      mine = std::make_unique<RedisRateLimiter>(url);
      check(mine->check_and_consume(user(), 4));
    });
  }
  check(immortal().check_and_consume(user(), 1));
}

// ---- at the program's end -----------------------------------------------------------------------------------------

void settle_in_static_destructor() {
  static std::optional<Reservation> reservation;
  static AtEnd end;  // destroyed before the reservation, which it settles
  reservation.emplace(immortal().reserve(user(), 5'000));
  end.run([] { reservation->settle(11); });
}

void settle_after_all_other_statics() {
  static RedisRateLimiter limiter{url};
  first_static.run(
      [reservation = std::make_shared<Reservation>(limiter.reserve(user(), 5'000))] { reservation->settle(11); });
}

void cancel_after_all_other_statics() {
  static RedisRateLimiter limiter{url};
  check(limiter.check_and_consume(user(), 11));
  first_static.run(
      [reservation = std::make_shared<Reservation>(limiter.reserve(user(), 5'000))] { reservation->cancel(); });
}

void drop_a_static_reservation() {
  static RedisRateLimiter limiter{url};
  first_reserved.emplace(limiter.reserve(user(), 11));
}

void charge_after_all_other_statics() {
  check(immortal().check_and_consume(user(), 1));
  first_static.run([] { check(immortal().check_and_consume(user(), 10)); });
}

void charge_in_an_exit_handler() {
  check(std::atexit([] { check(immortal().check_and_consume(user(), 10)); }) == 0);
  check(immortal().check_and_consume(user(), 1));
}

/// OpenSSL's exit handler has run when this runs: a call fails, and nothing crashes.
void try_after_openssl_has_ended() {
  first_static.run([] {
    check(immortal().try_consume(user(), 10).failure.category() == tollgate::error_category());
    static_cast<void>(immortal().stats());
  });
  check(immortal().check_and_consume(user(), 11));
}

/// The process's first settlement, on a Redis that does not have the script; exit() runs no destructor of a local
/// object.
void exit_right_after_the_first_settle(bool static_reservation) {
  static RedisRateLimiter limiter{url};
  static std::optional<Reservation> reservation;
  if (static_reservation) {
    reservation.emplace(limiter.reserve(user(), 5'000));
    reservation->settle(11);
  } else {
    Reservation local = limiter.reserve(user(), 5'000);
    local.settle(11);
  }
  std::exit(0);  // NOLINT(concurrency-mt-unsafe): this program has one thread
}

/// The charge is undone when the reply comes, or stays; only the end of the program is tested.
void return_after_a_charge_that_timed_out(bool resumed) {
  static RedisRateLimiter limiter{url};
  check(limiter.check_and_consume(user(), 1));
  if (server > 0) ::kill(server, SIGSTOP);
  const auto deadline = std::chrono::steady_clock::now() + (server > 0 ? 50ms : -1ms);
  const tollgate::Decision decision = limiter.try_consume(user(), 10, {.deadline = deadline});
  check(!decision.allowed && decision.failure == tollgate::Errc::kTimeout);
  if (server > 0 && resumed) ::kill(server, SIGCONT);
}

const std::map<std::string, std::function<void()>>& variants() {
  static const std::map<std::string, std::function<void()>> all{
      {"charge_in_thread_local_destructor", charge_in_thread_local_destructor},
      {"charge_in_thread_local_destructor_of_main", charge_in_thread_local_destructor_of_main},
      {"charge_many_at_thread_end", charge_many_at_thread_end},
      {"settle_at_thread_end", settle_at_thread_end},
      {"limiter_of_each_thread", limiter_of_each_thread},
      {"settle_in_static_destructor", settle_in_static_destructor},
      {"settle_after_all_other_statics", settle_after_all_other_statics},
      {"cancel_after_all_other_statics", cancel_after_all_other_statics},
      {"drop_a_static_reservation", drop_a_static_reservation},
      {"charge_after_all_other_statics", charge_after_all_other_statics},
      {"charge_in_an_exit_handler", charge_in_an_exit_handler},
      {"try_after_openssl_has_ended", try_after_openssl_has_ended},
      {"exit_right_after_the_first_settle", [] { exit_right_after_the_first_settle(false); }},
      {"exit_right_after_the_first_settle_of_a_static", [] { exit_right_after_the_first_settle(true); }},
      {"return_after_a_timeout_of_a_slow_server", [] { return_after_a_charge_that_timed_out(true); }},
      {"return_after_a_timeout_of_a_stopped_server", [] { return_after_a_charge_that_timed_out(false); }},
  };
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  url = arguments[2];
  server = static_cast<pid_t>(std::atoi(arguments[3]));
  const auto variant = variants().find(arguments[1]);
  if (variant == variants().end()) return 2;
  try {
    variant->second();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 4;
  }
  return 0;
}
