/// A global operator new that fails on demand, for the requesting thread. Link failing_allocations.cpp.
/// Thread safety: each thread has a count of its own.
#pragma once

namespace tollgate::tests {

/// While the object exists, the n-th allocation of this thread throws std::bad_alloc, once; n counts from 1.
class FailingAllocation {
 public:
  explicit FailingAllocation(int n) noexcept;
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  ~FailingAllocation();

  /// Whether there were so many allocations that one failed.
  [[nodiscard]] bool happened() const noexcept;
};

}  // namespace tollgate::tests
