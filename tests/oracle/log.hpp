/// What the oracle's workers share: the budgets they contend for, and their logs of what each did and was told.
/// Thread safety: one process writes a log; who reads it waits until that process has ended.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>

namespace tollgate::tests {

struct Budget {
  std::string_view prefix;
  std::int64_t limit;
};
inline constexpr std::array<Budget, 2> kBudgets{{{"o0", 300}, {"o1", 5'000}}};
inline constexpr int kUsers = 3;
inline constexpr std::int64_t kFirstMinute = 29'453'760;  // of testing::ManualClock::kStart

/// One counter as a number: kFirstMinute's first, 8 to a minute.
using Counter = std::uint32_t;
inline Counter counter_of(int budget, int user, std::int64_t minute) {
  return static_cast<Counter>((minute - kFirstMinute) * 8 + budget * 4 + user);
}
inline const Budget& budget_of(Counter counter) { return kBudgets.at(counter / 4 % 2); }
inline std::string user_name(int user) { return "u" + std::to_string(user); }
inline std::string key_of(Counter counter) {
  return std::string{budget_of(counter).prefix} + ':' + user_name(static_cast<int>(counter % 4)) + ':' +
         std::to_string(kFirstMinute + counter / 8);
}

inline constexpr int kPlainWorker = 4;  // the others are tollgate's
inline constexpr int kWorkers = 5;
inline constexpr bool remembers_denials(int worker) { return worker % 2 == 0; }

/// By what a worker asks: pipelined, atomic, or INCRBY and DECRBY by hand.
enum class Way : std::uint8_t { kPipelined, kAtomic, kPlain };

struct Entry {
  enum Kind : std::uint8_t { kCharge, kPeek, kAdjust, kReset, kNothing };
  static constexpr std::int64_t kNotTold = -1;

  Kind kind = kNothing;
  Way way = Way::kPlain;
  bool allowed = false;
  bool local = false;                 // told to be Source::kLocal
  bool may_create = false;            // kAdjust: the window still counts
  Counter counter = 0;                // that must be charged, looked at or adjusted
  std::uint32_t name = 0;             // of what that is done once; 0 = each time
  std::uint32_t time_ms = 0;          // by the worker's clock, which measures its deny memory
  std::int64_t tokens = 0;            // kAdjust: by which the counter must change
  std::int64_t remaining = kNotTold;  // as told
};

/// In memory that a process shares with the children it forks afterwards. Pages that are not touched cost nothing.
class Log {
 public:
  explicit Log(std::size_t capacity) : bytes_(sizeof(Header) + capacity * sizeof(Entry)) {
    void* const memory =
        ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc{};
    header_ = new (memory) Header;
    entries_ = reinterpret_cast<Entry*>(header_ + 1);
    capacity_ = capacity;
  }
  ~Log() { ::munmap(header_, bytes_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void write(const Entry& entry) {
    if (header_->size == capacity_) throw std::bad_alloc{};
    new (entries_ + header_->size) Entry{entry};
    ++header_->size;
  }
  [[nodiscard]] const Entry* begin() const { return entries_; }
  [[nodiscard]] const Entry* end() const { return entries_ + header_->size; }

 private:
  struct alignas(64) Header {
    std::size_t size = 0;
  };

  std::size_t bytes_;
  std::size_t capacity_ = 0;
  Header* header_ = nullptr;
  Entry* entries_ = nullptr;
};

}  // namespace tollgate::tests
