// The private redis-server that every other integration test stands on.

#include "tollgate/testing/redis_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "tollgate/testing/print.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RedisServer;
using ::testing::UnorderedElementsAre;

/// Sets an environment variable for as long as it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    const char* const before = std::getenv(name);
    if (before != nullptr) before_ = before;
    had_one_ = before != nullptr;
    ::setenv(name, value, 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    if (had_one_) {
      ::setenv(name_, before_.c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::string before_;
  bool had_one_ = false;
};

std::string reason_not_to_start(const std::vector<std::string>& arguments = {}) {
  try {
    const RedisServer server{arguments};
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "it has started";
}

/// Neither running nor stopped: gone, or dead and not yet reaped by whoever inherited it.
bool is_dead(pid_t pid) {
  std::ifstream stat{"/proc/" + std::to_string(pid) + "/stat"};
  std::string number;
  std::string name;
  char state = 'X';
  stat >> number >> name >> state;
  return state == 'X' || state == 'Z';
}

bool dies_within(std::chrono::milliseconds time, pid_t pid) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!is_dead(pid)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

TEST(RedisServer, ReturnsRepliesOfEveryKind) {
  const RedisServer server;
  const std::string binary{"a\0\r\n\xff", 5};
  EXPECT_EQ(server.command({"SET", "key", binary, "EX", "60"}), Reply::status("OK"));
  EXPECT_EQ(server.command({"GET", "key"}), Reply::string(binary));
  EXPECT_EQ(server.command({"GET", "absent"}), Reply{});
  EXPECT_EQ(server.command({"INCRBY", "counter", "-3"}), Reply::integer(-3));
  EXPECT_EQ(server.command({"MGET", "counter", "absent"}), Reply::array({Reply::string("-3"), Reply{}}));
  EXPECT_EQ(server.command({"NONSENSE"}).kind(), Reply::Kind::kError);
}

TEST(RedisServer, KeepsNothingOnDiskAndListensOnLoopbackOnly) {
  const RedisServer server;
  const auto setting = [&server](const char* name) { return server.command({"CONFIG", "GET", name}).elements().at(1); };
  EXPECT_EQ(setting("save"), Reply::string(""));
  EXPECT_EQ(setting("appendonly"), Reply::string("no"));
  EXPECT_EQ(setting("bind"), Reply::string("127.0.0.1"));
}

TEST(RedisServer, IsReachedByItsOwnCommandsWhateverTheTestDoesToPasswords) {
  const RedisServer server;
  EXPECT_EQ(server.command({"CONFIG", "SET", "requirepass", "secret"}), Reply::status("OK"));
  EXPECT_EQ(server.command({"ACL", "SETUSER", "default", "off"}), Reply::status("OK"));
  EXPECT_EQ(server.command({"PING"}), Reply::status("PONG"));
}

TEST(RedisServer, ListsTheKeysOfAllDatabasesThatNeverExpire) {
  const RedisServer server;
  server.command({"MSET", "immortal", "1", "mortal", "1"});
  server.command({"EXPIRE", "mortal", "60"});
  server.command({"COPY", "immortal", "elsewhere", "DB", "7"});
  EXPECT_THAT(server.keys_without_ttl(), UnorderedElementsAre("immortal", "elsewhere"));
  server.command({"FLUSHALL"});
  EXPECT_THAT(server.keys_without_ttl(), IsEmpty());
}

TEST(RedisServer, AnswersNothingWhilePausedAndEverythingAfterwards) {
  RedisServer server;
  server.pause();
  server.pause();
  EXPECT_THROW((void)server.command({"PING"}), std::runtime_error);
  server.resume();
  EXPECT_EQ(server.command({"PING"}), Reply::status("PONG"));
}

TEST(RedisServer, ComesBackOnTheSamePortAndEmptyAfterBeingKilled) {
  RedisServer server;
  const std::string url = server.url();
  server.command({"SET", "key", "value", "EX", "60"});
  server.kill();
  EXPECT_EQ(server.pid(), 0);
  EXPECT_THROW((void)server.command({"PING"}), std::runtime_error);
  server.restart();
  EXPECT_EQ(server.url(), url);
  EXPECT_EQ(server.command({"GET", "key"}), Reply{});
}

TEST(RedisServer, KeepsItsDataAfterAKillWhenAppendonlyIsOn) {
  RedisServer server{{"--appendonly", "yes", "--appendfsync", "always"}};
  server.command({"SET", "key", "value", "EX", "60"});
  server.kill();
  server.restart();
  EXPECT_EQ(server.command({"GET", "key"}), Reply::string("value"));
}

TEST(RedisServer, OutlivesTheThreadThatRestartedIt) {
  RedisServer server;
  std::thread{[&server] { server.restart(); }}.join();
  EXPECT_FALSE(dies_within(200ms, server.pid()));
  EXPECT_EQ(server.command({"PING"}), Reply::status("PONG"));
}

TEST(RedisServer, LeavesNeitherAProcessNorADirectoryAlsoWhenItWasPaused) {
  std::string directory;
  pid_t pid = 0;
  {
    RedisServer server;
    directory = server.directory();
    pid = server.pid();
    EXPECT_TRUE(std::filesystem::exists(directory));
    server.pause();
  }
  EXPECT_TRUE(is_dead(pid));
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TEST(RedisServer, EndsWithTheProcessThatStartedItAndNotWithItsOtherChildren) {
  std::string scratch = ::testing::TempDir() + "/tollgate-XXXXXX";  // nobody is left to delete the server's directory
  ASSERT_NE(::mkdtemp(scratch.data()), nullptr);
  const Environment temporary{"TMPDIR", scratch.c_str()};
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    RedisServer server;
    const pid_t bystander = ::fork();
    if (bystander == 0) {
      server.~RedisServer();
      ::_exit(0);
    }
    ::waitpid(bystander, nullptr, 0);
    const pid_t pid = is_dead(server.pid()) ? 0 : server.pid();
    if (::write(pipe_ends[1], &pid, sizeof pid) == sizeof pid) ::raise(SIGKILL);
    ::_exit(1);
  }
  ::close(pipe_ends[1]);
  pid_t server = 0;
  EXPECT_EQ(::read(pipe_ends[0], &server, sizeof server), static_cast<ssize_t>(sizeof server));
  ::waitpid(child, nullptr, 0);
  ::close(pipe_ends[0]);
  EXPECT_NE(server, 0);
  EXPECT_TRUE(server == 0 || dies_within(5s, server));
  std::filesystem::remove_all(scratch);
}

TEST(RedisServer, SaysWhyItDoesNotStartInTheServersOwnWords) {
  EXPECT_THAT(reason_not_to_start({"--nonsense", "1"}), HasSubstr("Bad directive"));
}

TEST(RedisServer, ThrowsRatherThanSkipsWhenThereIsNoServer) {
  {
    const Environment named{"TOLLGATE_REDIS_SERVER", "/nowhere/redis-server"};
    EXPECT_THAT(reason_not_to_start(), HasSubstr("/nowhere/redis-server, which is not an executable file"));
  }
  const Environment named{"TOLLGATE_REDIS_SERVER", ""};
  const Environment path{"PATH", "/nowhere"};
  EXPECT_THAT(reason_not_to_start(), HasSubstr("no redis-server on PATH"));
}

}  // namespace
}  // namespace tollgate
