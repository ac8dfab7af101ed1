/// The decisions on the calls of each thread of the killed processes, in shared memory, and their sums.
///
/// Each thread keeps a diary: it writes an entry before a call, and its outcome after. When a process has been killed,
/// its diaries are added up: recorded decisions are certain; a call that was interrupted, and posts after the last
/// reply from Redis, may have been executed. Thread safety: a diary has one writer, and is read when that has ended.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tollgate::tests {

inline constexpr int kKills = 200;
inline constexpr int kKillsPerUser =
    10;  // then the processes use the next user, so that kills happen at empty and at full budgets
inline constexpr std::int64_t kLimit = 20'000;
inline constexpr std::int64_t kMostTokens = 60;
inline constexpr std::size_t kWorkers = 3;
inline constexpr std::size_t kThreads = 3;

// The numbers of the users. Charges of the first users are never given back; of the next ones, some tokens are given
// back and some are charged in excess; then one whose budget is reset. Each process has one more, which no other uses.
inline constexpr int kTurns = kKills / kKillsPerUser + 1;
inline constexpr int kReturning = kTurns;
inline constexpr int kReset = 2 * kTurns;
inline constexpr int kOwn = kReset + 1;
inline constexpr int kUsers = kOwn + kKills + static_cast<int>(kWorkers);

struct Entry {
  enum Kind : std::uint8_t { kCharge, kRecord, kGiveBack, kExcess, kOther };
  enum Outcome : std::uint8_t { kCut, kAdmitted, kDenied, kDeniedLocally, kAnswered, kPosted };

  Kind kind = kOther;
  bool pipelined = false;  // a denial is undone by a post
  std::uint16_t user = 0;
  std::int32_t tokens = 0;
  std::atomic<Outcome> outcome{kCut};
};

struct Diary {
  std::atomic<std::size_t> size{0};
  std::array<Entry, 100'000> entries;

  [[nodiscard]] bool full() const { return size == entries.size(); }
  Entry& begin(Entry::Kind kind, int user, std::int64_t tokens, bool pipelined = false) {
    Entry& entry = entries.at(size);
    entry.kind = kind;
    entry.pipelined = pipelined;
    entry.user = static_cast<std::uint16_t>(user);
    entry.tokens = static_cast<std::int32_t>(tokens);
    entry.outcome = Entry::kCut;
    ++size;
    return entry;
  }
};

struct Shared {
  std::atomic<bool> stop{false};
  std::atomic<int> turn{0};
  std::array<std::array<Diary, kThreads>, kWorkers> diaries;
};

/// The sums of the diaries for one user, in tokens.
struct Account {
  std::int64_t admitted = 0;
  std::int64_t recorded = 0;  // and settled in excess
  std::int64_t returned = 0;
  std::int64_t possibly_charged = 0;   // cut off, or an undo or excess that was posted last
  std::int64_t possibly_returned = 0;  // posted last

  [[nodiscard]] std::int64_t at_least() const { return admitted + recorded - returned - possibly_returned; }
  [[nodiscard]] std::int64_t at_most() const { return admitted + recorded - returned + possibly_charged; }
};

class Accounts {
 public:
  /// Adds what the thread of `diary` did, which has ended, and empties it.
  void close(Diary& diary) {
    for (std::size_t i = 0; i < diary.size; ++i) take_in(diary.entries.at(i));
    for (const Entry* entry : posted_) {
      Account& account = of(*entry);
      (entry->kind == Entry::kGiveBack ? account.possibly_returned : account.possibly_charged) += entry->tokens;
      ++posts_in_doubt;
    }
    posted_.clear();
    diary.size = 0;
  }

  std::array<Account, kUsers> users;
  int calls = 0;
  int calls_cut = 0;
  int denials = 0;
  int posts_in_doubt = 0;

 private:
  Account& of(const Entry& entry) { return users.at(entry.user); }

  void take_in(const Entry& entry) {
    ++calls;
    const Entry::Outcome outcome = entry.outcome;
    // One connection, in order: a reply from Redis proves that the earlier posts of this thread were executed.
    if (outcome == Entry::kAdmitted || outcome == Entry::kDenied || outcome == Entry::kAnswered) note_posts_executed();
    const bool is_post = entry.kind == Entry::kGiveBack || entry.kind == Entry::kExcess;
    if (is_post || (outcome == Entry::kDenied && entry.pipelined)) posted_.push_back(&entry);
    if (outcome == Entry::kCut) ++calls_cut;
    if (outcome == Entry::kCut && !is_post) of(entry).possibly_charged += entry.tokens;
    if (outcome == Entry::kDenied || outcome == Entry::kDeniedLocally) ++denials;
    if (outcome == Entry::kAdmitted) of(entry).admitted += entry.tokens;
    if (outcome == Entry::kAnswered) of(entry).recorded += entry.tokens;
  }

  void note_posts_executed() {
    for (const Entry* entry : posted_) {
      if (entry->kind == Entry::kGiveBack) of(*entry).returned += entry->tokens;
      if (entry->kind == Entry::kExcess) of(*entry).recorded += entry->tokens;
    }
    posted_.clear();
  }

  std::vector<const Entry*> posted_;
};

}  // namespace tollgate::tests
