#include "faults/failing_allocations.hpp"

#include <cstdlib>
#include <new>

namespace {

thread_local int left_until_failure = 0;  // 0: none fails
thread_local bool failed = false;

}  // namespace

// GCC sees malloc behind one and free behind the other once they are inlined, and takes them for mismatched.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(std::size_t size) {
  if (left_until_failure > 0 && --left_until_failure == 0) {
    failed = true;
    throw std::bad_alloc{};
  }
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace tollgate::tests {

FailingAllocation::FailingAllocation(int n) noexcept {
  failed = false;
  left_until_failure = n;
}
FailingAllocation::~FailingAllocation() { left_until_failure = 0; }
bool FailingAllocation::happened() const noexcept { return failed; }

}  // namespace tollgate::tests
