/// Marks the calling thread while it releases what may be the last owner of a client. A client is closed by its last
/// owner, and closing waits for what is still posted; where the release promised no I/O (a Reservation's end), the
/// client sees this mark and hands its closing to another thread.
/// Thread safety: each thread has a mark of its own. The counter is trivially destructible, so it may be used at any
/// point of a thread's or the program's end.
#pragma once

namespace tollgate::inline v0::detail {

class NonBlockingRelease {
 public:
  NonBlockingRelease() noexcept { ++depth; }
  ~NonBlockingRelease() { --depth; }
  NonBlockingRelease(const NonBlockingRelease&) = delete;
  NonBlockingRelease& operator=(const NonBlockingRelease&) = delete;

  /// Whether the calling thread is within such a release.
  [[nodiscard]] static bool active() noexcept { return depth > 0; }

 private:
  static inline thread_local int depth = 0;
};

}  // namespace tollgate::inline v0::detail
