/// Blocks every signal for the calling thread until the end of the scope, however the scope is left. A thread that is
/// started meanwhile inherits that, so the program's signal handlers never run on it.
/// Thread safety: acts on the calling thread alone.
#pragma once

#include <pthread.h>

#include <csignal>

namespace tollgate::inline v0 {

class BlockedSignals {
 public:
  BlockedSignals() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace tollgate::inline v0
