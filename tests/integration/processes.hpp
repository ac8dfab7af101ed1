/// Worker processes for tests: each runs a function in a forked child and ends with _exit, so that nothing of the
/// parent is destroyed twice. They count in SharedCounters. Thread safety: one thread.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <exception>
#include <functional>
#include <iostream>
#include <new>
#include <stdexcept>
#include <vector>

namespace tollgate::tests {

/// Counters that a process shares with the children it forks afterwards.
template <class Counters>
class SharedCounters {
 public:
  SharedCounters() {
    void* const memory = ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc{};
    counters_ = new (memory) Counters{};
  }
  ~SharedCounters() { ::munmap(counters_, sizeof(Counters)); }
  SharedCounters(const SharedCounters&) = delete;
  SharedCounters& operator=(const SharedCounters&) = delete;

  Counters* operator->() const noexcept { return counters_; }
  Counters& operator*() const noexcept { return *counters_; }

 private:
  Counters* counters_;
};

class Processes {
 public:
  void start(const std::function<void()>& work) {
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error("fork failed");
    if (pid > 0) {
      pids_.push_back(pid);
      return;
    }
    try {
      work();
      ::_exit(0);
    } catch (const std::exception& error) {
      std::cerr << "worker process: " << error.what() << std::endl;
      ::_exit(1);
    }
  }

  /// Waits for all; returns how many failed.
  [[nodiscard]] int join() {
    return wait_for_all([](int status) { return status == 0; });
  }

  /// Kills all with SIGKILL and waits for them; how many had ended by themselves.
  [[nodiscard]] int kill() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    return wait_for_all([](int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; });
  }

 private:
  int wait_for_all(bool (*as_expected)(int status)) {
    int others = 0;
    for (const pid_t pid : pids_) {
      int status = 0;
      if (::waitpid(pid, &status, 0) != pid || !as_expected(status)) ++others;
    }
    pids_.clear();
    return others;
  }

  std::vector<pid_t> pids_;
};

}  // namespace tollgate::tests
