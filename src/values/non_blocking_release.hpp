/// Marks the calling thread while it releases an object that may be the last owner of a client. The last owner closes
/// the client, which waits for posts. Where the release must do no I/O (a Reservation's destructor), the client reads
/// this mark and is closed by another thread.
/// Thread safety: each thread has a mark of its own. The counter is trivially destructible, so it may be used at any
/// point of a thread's or the program's end.
#pragma once

namespace tollgate::inline v0::detail {

class NonBlockingRelease {
 public:
  NonBlockingRelease() noexcept { ++depth_; }
  ~NonBlockingRelease() { --depth_; }
  NonBlockingRelease(const NonBlockingRelease&) = delete;
  NonBlockingRelease& operator=(const NonBlockingRelease&) = delete;

  /// Whether the calling thread is within such a release.
  [[nodiscard]] static bool active() noexcept { return depth_ > 0; }

 private:
  static inline thread_local int depth_ = 0;
};

}  // namespace tollgate::inline v0::detail
