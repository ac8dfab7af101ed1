/// A private redis-server for tests, on a free loopback port and a Unix socket, without persistence and with a
/// temporary directory, stopped and deleted by the destructor. Without a redis-server the constructor throws; no test
/// is skipped.
///
///     tollgate::testing::RedisServer server;
///     tollgate::RedisRateLimiter limiter{server.url()};
///
/// Link `tollgate::testing`. The server is killed when the test process ends, in whatever way. A forked child may use
/// the object; its destructor does nothing there.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "tollgate/testing/tls_certificates.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::testing {

class RedisServer {
 public:
  /// Starts `redis-server` from the environment variable TOLLGATE_REDIS_SERVER or else from PATH, and waits until it
  /// answers PING. `arguments` follow the default ones and override them: {"--appendonly", "yes"}. A first one
  /// without -- is a configuration file.
  /// Throws std::runtime_error with the reason and the end of the server's log when it is not up within 10 s.
  explicit RedisServer(std::vector<std::string> arguments = {});

  /// As above, but its port speaks TLS alone, with `certificates.server()` and, where that is not changed by
  /// `arguments` ({"--tls-auth-clients", "yes"}), without asking clients for a certificate. url() is then rediss://.
  /// `certificates` must outlive the server.
  explicit RedisServer(const TlsCertificates& certificates, std::vector<std::string> arguments = {});

  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  /// Stops the server (SIGTERM, after 2 s SIGKILL), also a paused one, and deletes its directory.
  ~RedisServer();

  /// redis://127.0.0.1:<port>/0, or with TLS rediss://127.0.0.1:<port>/0?ca_file=…
  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::string unix_url() const;  ///< unix:///…/redis.sock
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }  ///< 0 while it is not running
  [[nodiscard]] std::string log_tail() const;                ///< at most its last 2000 bytes

  void pause();    ///< SIGSTOP; returns when it has stopped: connections stay open, nothing is answered
  void resume();   ///< SIGCONT
  void kill();     ///< SIGKILL; returns when the process is gone
  void stop();     ///< as the destructor does, but the directory stays
  void restart();  ///< stops it when it runs, and starts it on the same port and directory; throws as the constructor

  /// Sends one command over a new connection, as an administrator that only this object uses (so a test may change the
  /// other users' passwords), and returns the reply. Throws std::runtime_error when there is none within 5 s.
  Reply command(const std::vector<std::string>& arguments) const;

  /// The keys of all databases that have no expiry. Test suites assert that there are none.
  [[nodiscard]] std::vector<std::string> keys_without_ttl() const;

 private:
  void start();  // throws; leaves nothing running when it does
  void start_on(std::uint16_t port);
  [[nodiscard]] bool wait_until_up(std::string* reason);
  [[nodiscard]] bool has_exited();
  void stop_locked();
  void kill_locked();
  void remove_directory() noexcept;

  RedisServer(const TlsCertificates* certificates, std::vector<std::string> arguments);

  const std::vector<std::string> arguments_;
  const std::string tls_ca_file_;  // empty without TLS
  const std::string executable_;
  const std::string directory_;
  const std::string socket_;
  const pid_t owner_;
  mutable std::mutex mutex_;  // guards starting and stopping the process; not held while a command is in flight
  std::atomic<std::uint16_t> port_{0};
  std::atomic<pid_t> pid_{0};
};

}  // namespace tollgate::inline v0::testing
