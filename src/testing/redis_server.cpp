#include "tollgate/testing/redis_server.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "child_process.hpp"
#include "free_port.hpp"
#include "resp_connection.hpp"

namespace tollgate::inline v0::testing {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kStartTimeout = 10s;
constexpr auto kStopTimeout = 2s;
constexpr auto kCommandTimeout = 5s;
constexpr auto kAuditTimeout = 60s;
constexpr auto kPoll = 5ms;
constexpr int kPortsTried = 10;
constexpr const char* kUser = "tollgate_test_admin";
constexpr const char* kPassword = "private-to-this-server";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string find_executable() {
  if (std::string named = environment("TOLLGATE_REDIS_SERVER"); !named.empty()) {
    if (::access(named.c_str(), X_OK) == 0) return std::filesystem::absolute(named);
    throw std::runtime_error("TOLLGATE_REDIS_SERVER is " + named + ", which is not an executable file");
  }
  std::istringstream path{environment("PATH")};
  for (std::string folder; std::getline(path, folder, ':');) {
    const std::string candidate = folder + "/redis-server";
    if (::access(candidate.c_str(), X_OK) == 0) return std::filesystem::absolute(candidate);
  }
  throw std::runtime_error("there is no redis-server on PATH (Debian: apt-get install redis-server)");
}

std::string make_directory() {
  std::string path = std::filesystem::temp_directory_path() / "tollgate-redis-XXXXXX";
  if (path.size() + sizeof "/redis.sock" > sizeof sockaddr_un{}.sun_path) path = "/tmp/tollgate-redis-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    throw std::runtime_error("mkdtemp " + path + ": " + std::generic_category().message(errno));
  }
  return path;
}

std::vector<std::string> with_tls(const TlsCertificates& certificates, std::vector<std::string> arguments) {
  const TlsCertificates::Pair& server = certificates.server();
  std::vector<std::string> all{"--tls-cert-file",    server.cert_file,       "--tls-key-file",     server.key_file,
                               "--tls-ca-cert-file", certificates.ca_file(), "--tls-auth-clients", "no"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

void log_in(RespConnection& connection) {
  const Reply reply = connection.command({"AUTH", kUser, kPassword});
  if (reply.is_error()) throw std::runtime_error("private redis-server: " + reply.text());
}

}  // namespace

RedisServer::RedisServer(std::vector<std::string> arguments) : RedisServer(nullptr, std::move(arguments)) {}

RedisServer::RedisServer(const TlsCertificates& certificates, std::vector<std::string> arguments)
    : RedisServer(&certificates, std::move(arguments)) {}

RedisServer::RedisServer(const TlsCertificates* certificates, std::vector<std::string> arguments)
    : arguments_(certificates != nullptr ? with_tls(*certificates, std::move(arguments)) : std::move(arguments)),
      tls_ca_file_(certificates != nullptr ? certificates->ca_file() : ""),
      executable_(find_executable()),
      directory_(make_directory()),
      socket_(directory_ + "/redis.sock"),
      owner_(::getpid()) {
  try {
    start();
  } catch (...) {
    remove_directory();
    throw;
  }
}

RedisServer::~RedisServer() {
  if (::getpid() != owner_) return;
  const std::lock_guard lock{mutex_};
  stop_locked();
  remove_directory();
}

std::string RedisServer::url() const {
  const std::string address = "://127.0.0.1:" + std::to_string(port_) + "/0";
  return tls_ca_file_.empty() ? "redis" + address : "rediss" + address + "?ca_file=" + tls_ca_file_;
}
std::string RedisServer::unix_url() const { return "unix://" + socket_; }

std::string RedisServer::log_tail() const {
  std::ifstream log{directory_ + "/log", std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{log}, {}};
  constexpr std::size_t kTail = 2000;
  return text.size() > kTail ? text.substr(text.size() - kTail) : text;
}

void RedisServer::pause() {
  const std::lock_guard lock{mutex_};
  if (pid_ == 0) return;
  ::kill(pid_, SIGSTOP);
  siginfo_t state;  // left to be waited for again, so that pausing twice does not block
  while (::waitid(P_PID, static_cast<id_t>(pid_), &state, WSTOPPED | WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
}

void RedisServer::resume() {
  const std::lock_guard lock{mutex_};
  if (pid_ != 0) ::kill(pid_, SIGCONT);
}

void RedisServer::kill() {
  const std::lock_guard lock{mutex_};
  kill_locked();
}

void RedisServer::stop() {
  const std::lock_guard lock{mutex_};
  stop_locked();
}

void RedisServer::restart() {
  const std::lock_guard lock{mutex_};
  stop_locked();
  start();
}

void RedisServer::start() {
  const bool first = port_ == 0;
  for (int tried = 1;; ++tried) {
    const std::uint16_t port = first ? random_port() : port_.load();
    if (first && !is_free(port) && tried < kPortsTried) continue;
    start_on(port);
    std::string reason;
    if (wait_until_up(&reason)) return;
    kill_locked();
    // Somebody took the port between our look and the server's bind: take another.
    const bool taken = log_tail().find("Address already in use") != std::string::npos;
    if (first && taken && tried < kPortsTried) continue;
    throw std::runtime_error(executable_ + " on port " + std::to_string(port) + ": " + reason +
                             "; the end of its log:\n" + log_tail());
  }
}

void RedisServer::start_on(std::uint16_t port) {
  std::error_code ignored;
  std::filesystem::remove(socket_, ignored);
  std::filesystem::remove(directory_ + "/log", ignored);
  const bool is_plain = tls_ca_file_.empty();
  std::vector<std::string> line{executable_,
                                "--port",
                                is_plain ? std::to_string(port) : "0",
                                "--bind",
                                "127.0.0.1",
                                "--unixsocket",
                                socket_,
                                "--unixsocketperm",
                                "700",
                                "--dir",
                                directory_,
                                "--save",
                                "",
                                "--appendonly",
                                "no",
                                "--daemonize",
                                "no",
                                "--user",
                                kUser,
                                "on",
                                std::string{">"} + kPassword,
                                "~*",
                                "&*",
                                "+@all"};
  if (!is_plain) line.insert(line.end(), {"--tls-port", std::to_string(port)});
  const bool has_file = !arguments_.empty() && !arguments_.front().starts_with("--");
  if (has_file) line.insert(line.begin() + 1, arguments_.front());
  line.insert(line.end(), arguments_.begin() + (has_file ? 1 : 0), arguments_.end());
  pid_ = start_child(line, directory_, directory_ + "/log");
  port_ = port;
}

bool RedisServer::wait_until_up(std::string* reason) {
  const auto deadline = steady_clock::now() + kStartTimeout;
  while (steady_clock::now() < deadline) {
    if (has_exited()) {
      *reason = "exited at once";
      return false;
    }
    try {
      const Reply reply = command({"PING"});  // an error while it loads its data
      if (reply.text() == "PONG") return true;
      *reason = "answers PING with " + reply.text();
    } catch (const std::runtime_error& error) {
      *reason = error.what();
    }
    std::this_thread::sleep_for(kPoll);
  }
  *reason = "not up within 10 s: " + *reason;
  return false;
}

bool RedisServer::has_exited() {
  if (pid_ == 0) return true;
  int status = 0;
  pid_t waited = 0;
  while ((waited = ::waitpid(pid_, &status, WNOHANG)) < 0 && errno == EINTR) {
  }
  if (waited == 0) return false;
  pid_ = 0;
  return true;
}

void RedisServer::stop_locked() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGTERM);
  ::kill(pid_, SIGCONT);  // a paused server sees its SIGTERM
  const auto deadline = steady_clock::now() + kStopTimeout;
  while (!has_exited() && steady_clock::now() < deadline) std::this_thread::sleep_for(kPoll);
  kill_locked();
}

void RedisServer::kill_locked() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  while (!has_exited()) std::this_thread::sleep_for(kPoll);
}

void RedisServer::remove_directory() noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Reply RedisServer::command(const std::vector<std::string>& arguments) const {
  RespConnection connection{socket_, kCommandTimeout};
  log_in(connection);
  return connection.command(arguments);
}

std::vector<std::string> RedisServer::keys_without_ttl() const {
  RespConnection connection{socket_, kAuditTimeout};
  log_in(connection);
  std::vector<std::string> immortal;
  std::istringstream databases{connection.command({"INFO", "keyspace"}).text()};
  for (std::string line; std::getline(databases, line);) {
    if (!line.starts_with("db")) continue;
    connection.command({"SELECT", line.substr(2, line.find(':') - 2)});
    std::string cursor = "0";
    do {
      const Reply page = connection.command({"SCAN", cursor, "COUNT", "1000"});
      cursor = page.elements().at(0).text();
      const std::vector<Reply>& keys = page.elements().at(1).elements();
      for (const Reply& key : keys) connection.send({"TTL", key.text()});
      for (const Reply& key : keys) {
        if (connection.receive().to_integer() == -1) immortal.push_back(key.text());
      }
    } while (cursor != "0");
  }
  return immortal;
}

}  // namespace tollgate::inline v0::testing
