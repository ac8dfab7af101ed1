// After fork(): a child that does not use the limiter keeps no descriptor of its parent's connections, threads of a
// child that use the client first at the same moment close none twice, and the parent's connections go on.

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <set>
#include <sstream>
#include <vector>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class Fork : public FaultTest {
 protected:
  /// Descriptors of this process that are connected to the server by TCP.
  [[nodiscard]] int connections_to_server() const {
    DIR* const folder = ::opendir("/proc/self/fd");
    int count = 0;
    while (const dirent* const entry = ::readdir(folder)) {
      sockaddr_in peer{};
      socklen_t length = sizeof peer;
      const int descriptor = std::atoi(entry->d_name);
      if (entry->d_name[0] == '.' || ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
        continue;
      }
      if (peer.sin_family == AF_INET && ntohs(peer.sin_port) == server_.port()) ++count;
    }
    ::closedir(folder);
    return count;
  }
  /// Ids of the server's TCP clients.
  [[nodiscard]] std::set<std::string> client_ids() const {
    std::istringstream list{server_.command({"CLIENT", "LIST"}).text()};
    std::set<std::string> ids;
    for (std::string line; std::getline(list, line);) {
      if (line.find("user=default") != std::string::npos) ids.insert(line.substr(0, line.find(' ')));
    }
    return ids;
  }
  /// Calls from many threads, so that the client opens every connection that it may have.
  static void use_from_threads(RedisRateLimiter& limiter, int calls) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int call = 0; call < calls; ++call) static_cast<void>(limiter.try_consume("u", 1));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  template <class Work>
  static int exit_code_of_child(Work work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work());
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  RedisRateLimiter limiter_{connect(server_.url(), kPatient), config()};
};

TEST_F(Fork, AChildThatDoesNotUseTheLimiterKeepsNoneOfItsConnections) {
  use_from_threads(limiter_, 200);
  ASSERT_GT(connections_to_server(), 0);
  EXPECT_EQ(exit_code_of_child([&] { return connections_to_server(); }), 0);
  EXPECT_GT(connections_to_server(), 0);
}

TEST_F(Fork, AChildOfAParentWithCallsInFlightKeepsNoneEither) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) static_cast<void>(limiter_.try_consume("u", 1));
    });
  }
  EXPECT_TRUE(soon([&] { return connections_to_server() > 0; }));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(exit_code_of_child([&] { return connections_to_server(); }), 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Fork, ThreadsOfTheChildThatUseTheClientFirstAtOnceCloseNoDescriptorTwice) {
  use_from_threads(limiter_, 200);
  const auto child = [&] {
    std::atomic<int> ready{0};
    std::atomic<bool> stop{false};
    std::atomic<int> lost{0};
    std::vector<std::thread> openers;
    for (int i = 0; i < 2; ++i) {  // descriptors of others, which reuse the lowest free numbers
      openers.emplace_back([&] {
        while (!stop) {
          const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
          std::this_thread::yield();
          if (::fcntl(file, F_GETFD) < 0) ++lost;
          if (::close(file) != 0) ++lost;
        }
      });
    }
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        ++ready;
        while (ready < 4) {
        }
        if (!limiter_.try_consume("u", 1).allowed) ++lost;
      });
    }
    for (std::thread& caller : callers) caller.join();
    stop = true;
    for (std::thread& opener : openers) opener.join();
    return lost > 0 ? 1 : 0;
  };
  for (int i = 0; i < 40; ++i) ASSERT_EQ(exit_code_of_child(child), 0) << "child " << i;
}

TEST_F(Fork, TheParentsConnectionsStillWorkAfterItsChildrenHaveEnded) {
  use_from_threads(limiter_, 200);
  const std::set<std::string> before = client_ids();
  ASSERT_FALSE(before.empty());
  EXPECT_EQ(exit_code_of_child([&] { return limiter_.try_consume("child", 7).allowed ? 0 : 1; }), 0);
  EXPECT_EQ(exit_code_of_child([] { return 0; }), 0);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(limiter_.check_and_consume("parent", 1));
  EXPECT_EQ(counter("child"), 7);
  EXPECT_EQ(counter("parent"), 100);
  const std::set<std::string> after = client_ids();
  for (const std::string& id : before) EXPECT_TRUE(after.contains(id)) << id << " was closed";
  EXPECT_EQ(limiter_.stats().client.disconnects, 0U);
}

}  // namespace
}  // namespace tollgate::tests
