#include "values/background_thread.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace tollgate::inline v0::detail {
namespace {

/// A new thread inherits the mask of the one that starts it.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_background_thread(std::function<void()> work) {
  const AllSignalsBlocked blocked;
  return std::thread{std::move(work)};
}

}  // namespace tollgate::inline v0::detail
