// A client in a process that forks, executes another program or keeps the default SIGPIPE.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <vector>

#include "faults/fault_test.hpp"
#include "transport/connection.hpp"
#include "transport/open_socket.hpp"
#include "transport/socket_stream.hpp"

namespace tollgate::tests {
namespace {

class ClientProcesses : public FaultTest {};

int exit_status_of(const std::function<int()>& child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    try {
      ::_exit(child());
    } catch (...) {
      ::_exit(99);
    }
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST_F(ClientProcesses, AForkedChildMakesAConnectionOfItsOwn) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  const auto connections = info("stats", "total_connections_received");
  const int status = exit_status_of([&] {
    for (int i = 0; i < 100; ++i) {
      if (!limiter.check_and_consume("u", 1)) return 1;
    }
    return 0;
  });
  EXPECT_EQ(status, 0);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(limiter.get_remaining("u"), kLimit - 201);
  EXPECT_EQ(info("stats", "total_connections_received") - connections, 2);  // the child's, and that of this query
}

TEST_F(ClientProcesses, AForkAmidBusyThreadsLeavesTheChildAWorkingLimiter) {
  RateLimitConfig remembering = config();
  remembering.deny_memory = 1s;
  remembering.max_tokens_per_minute = 1'000'000'000;
  RedisRateLimiter limiter{connect(server_.url(), kPatient), remembering};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) static_cast<void>(limiter.try_consume("u", 1));
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(exit_status_of([&] { return limiter.check_and_consume("child", 1) ? 0 : 1; }), 0);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter("child"), 20);
}

TEST_F(ClientProcesses, AProgramWithTheDefaultSigpipeSurvivesAPeerThatCloses) {
  const int status = exit_status_of([] {
    std::signal(SIGPIPE, SIG_DFL);
    OpenSocket listener{AF_UNIX, SOCK_STREAM};
    sockaddr address{.sa_family = AF_UNIX, .sa_data = {}};
    socklen_t length = sizeof(sa_family_t);  // the kernel gives it an abstract name
    sockaddr_storage name{};
    if (::bind(listener.descriptor(), &address, length) != 0 || ::listen(listener.descriptor(), 1) != 0) return 1;
    length = sizeof name;
    ::getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&name), &length);
    auto socket = std::make_unique<OpenSocket>(AF_UNIX, SOCK_STREAM);
    if (::connect(socket->descriptor(), reinterpret_cast<sockaddr*>(&name), length) != 0) return 1;
    ::close(::accept(listener.descriptor(), nullptr, nullptr));
    Connection connection{std::make_unique<SocketStream>(std::move(socket))};
    connection.outgoing = "GET k\r\n";
    if (connection.send() != 0 || !connection.closing) return 2;
    return 0;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(ClientProcesses, AnExecutedProgramInheritsNoSocket) {
  RedisRateLimiter limiter{connect(server_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename());
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (!target.starts_with("socket:")) continue;
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0) continue;
    if (peer.ss_family != AF_INET || ntohs(reinterpret_cast<sockaddr_in&>(peer).sin_port) != server_.port()) continue;
    ++sockets;
    EXPECT_NE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(sockets, 1);
}

}  // namespace
}  // namespace tollgate::tests
