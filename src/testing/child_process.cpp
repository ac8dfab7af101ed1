#include "child_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <functional>
#include <future>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace tollgate::inline v0::testing {
namespace {

/// PR_SET_PDEATHSIG fires when the *thread* that forked ends, so all children are forked by one thread that never does.
class ForkingThread {
 public:
  /// A forked child of ours has not inherited the thread and gets a new one. Never destroyed: it must outlive statics.
  static ForkingThread& instance() {
    static std::mutex mutex;
    static ForkingThread* current = nullptr;
    const std::lock_guard lock{mutex};
    if (current == nullptr || current->owner_ != ::getpid()) current = new ForkingThread;
    return *current;
  }

  pid_t run(std::function<pid_t()> fork_child) {
    std::packaged_task<pid_t()> task{std::move(fork_child)};
    auto result = task.get_future();
    {
      const std::lock_guard lock{mutex_};
      tasks_.push(std::move(task));
    }
    wake_.notify_one();
    return result.get();
  }

 private:
  ForkingThread() {
    std::thread{[this] { serve(); }}.detach();
  }

  [[noreturn]] void serve() {
    while (true) {
      std::unique_lock lock{mutex_};
      wake_.wait(lock, [this] { return !tasks_.empty(); });
      auto task = std::move(tasks_.front());
      tasks_.pop();
      lock.unlock();
      task();
    }
  }

  const pid_t owner_ = ::getpid();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::queue<std::packaged_task<pid_t()>> tasks_;
};

/// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char* const* arguments, const char* directory, const char* log, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  const int null = ::open("/dev/null", O_RDONLY);
  const int out = ::open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  if (out >= 0) {
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
  }
  // A test's sockets, kept open by the server, would never be seen closed by their peers.
  if (::close_range(3, UINT_MAX, 0) != 0) {
    for (int descriptor = 3; descriptor < 4096; ++descriptor) ::close(descriptor);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::chdir(directory) == 0) ::execv(arguments[0], arguments);
  const char* const reason = ::strerrordesc_np(errno);
  static_cast<void>(!::write(STDERR_FILENO, reason, std::strlen(reason)));
  ::_exit(127);
}

}  // namespace

pid_t start_child(const std::vector<std::string>& arguments, const std::string& directory, const std::string& log) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ForkingThread::instance().run([&] {
    const pid_t forked = ::fork();
    if (forked == 0) become(pointers.data(), directory.c_str(), log.c_str(), parent);
    return forked < 0 ? -errno : forked;
  });
  if (child < 0) throw std::runtime_error("fork: " + std::generic_category().message(-child));
  return child;
}

}  // namespace tollgate::inline v0::testing
