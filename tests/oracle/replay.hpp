/// Replays with the model what Redis executed, and holds every entry of the workers' logs against it.
/// Thread safety: none. What is recorded while workers run is replayed when they have ended.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "oracle/log.hpp"
#include "oracle/model.hpp"

namespace tollgate::tests {

/// One command as Redis executed it.
struct Command {
  enum Kind : std::uint8_t { kGet, kIncrBy, kDecrBy, kAdmit, kAdjust, kUnlink, kScan, kOther };

  Kind kind = kOther;
  std::uint8_t worker = 0;
  Counter counter = 0;
  std::int64_t tokens = 0;
  std::uint64_t record = 0;  // hash of the key that records an operation done once; 0 = none
};

/// Keeps what the workers' connections and the auditor's sent, in order and compactly.
class Recorder {
 public:
  void on_command(std::string_view address, const std::vector<std::string_view>& words);
  [[nodiscard]] const std::vector<Command>& commands() const { return commands_; }

 private:
  std::map<std::string, std::uint8_t, std::less<>> workers_;  // by address
  std::vector<Command> commands_;
};
inline constexpr std::uint8_t kAuditor = kWorkers;  // reads counters while the others work, over the Unix socket

enum class Disagreement : std::uint8_t {
  kAnswer,        // the recorded decision differs
  kOverAdmitted,  // more than the limit was admitted in the life of a counter
  kLocalDenial,   // nothing that this process had seen bears it out
  kCommand,       // sent for no entry, or missing for one
  kCounter,       // it holds something else, or is not admitted - returned + excess
  kRun,           // a process failed, posts were not delivered, a counter would never expire
};

class Replay {
 public:
  /// `logs`: one per worker. `audited`: what the auditor's GETs brought back, in order; nothing = no such key.
  void run(const std::vector<const Log*>& logs, const std::vector<Command>& commands,
           const std::vector<std::optional<std::int64_t>>& audited);
  void disagree(Disagreement kind, std::string text);

  /// At most three texts of each kind.
  [[nodiscard]] const std::map<Disagreement, std::vector<std::string>>& disagreements() const { return found_; }
  /// How often each thing happened, so that a test can see that it did.
  [[nodiscard]] const std::map<std::string_view, std::int64_t>& counts() const { return counts_; }

 private:
  struct Owed {
    Counter counter;
    std::int64_t tokens;
    int life;  // that it was charged in
  };
  struct Seen {  // what a deny memory may hold
    Counter counter = 0;
    std::int64_t left = 0;
    std::uint32_t until_ms = 0;
  };
  struct Worker {
    int number = 0;
    const Entry* first = nullptr;
    const Entry* next = nullptr;
    const Entry* end = nullptr;
    bool under_way = false;    // `next` has had some of its commands
    std::optional<Owed> owed;  // the charge to undo
    std::array<Seen, 16> seen;
  };
  struct First {  // the answer to an operation that is done once
    bool allowed;
    std::int64_t used;
  };

  void follow(std::uint8_t number, const Command& command);
  void skip_silent(Worker& worker, const Command* command);
  [[nodiscard]] bool belongs(const Worker& worker, const Command& command);
  void apply(Worker& worker, const Command& command);
  void conclude(Worker& worker, bool allowed, std::int64_t used);
  void audit(const Command& command, std::optional<std::int64_t> counter);
  void finish(Worker& worker);
  [[nodiscard]] bool same_record(std::uint32_t name, std::uint64_t record);
  [[nodiscard]] Seen& seen(Worker& worker, const Entry& entry);
  void see(Worker& worker, const Entry& entry, std::int64_t used);
  [[nodiscard]] std::string where(const Worker& worker) const;
  Model& model(Counter counter);

  std::vector<Worker> workers_;
  std::deque<Model> models_;
  std::unordered_map<std::uint32_t, First> firsts_;  // by name
  std::unordered_map<std::uint32_t, bool> adjusted_;
  std::unordered_map<std::uint32_t, std::uint64_t> records_;
  std::unordered_map<std::uint64_t, std::uint32_t> names_;
  std::map<Disagreement, std::vector<std::string>> found_;
  std::map<std::string_view, std::int64_t> counts_;
};

}  // namespace tollgate::tests
