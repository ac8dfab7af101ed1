// The oracle: processes make random requests for a few users at once, and a model replays the commands that Redis
// reports as executed, in that order. Every decision of a process, and every counter, must equal the model's.
//
// Environment: TOLLGATE_ORACLE_OPERATIONS and TOLLGATE_ORACLE_SEED set the number of operations and the seed. A seed
// repeats what each worker tries, not how Redis interleaves them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "integration/processes.hpp"
#include "oracle/monitor.hpp"
#include "oracle/replay.hpp"
#include "oracle/worker.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "values/scripts.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using ::testing::Contains;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;

#ifndef TOLLGATE_ORACLE_DEFAULT_OPERATIONS
#define TOLLGATE_ORACLE_DEFAULT_OPERATIONS 1'000'000
#endif
constexpr std::int64_t kFew = 40'000;
constexpr std::int64_t kOperationsPerMinute = 3'000;
constexpr auto kLongestMinute = 5s;
constexpr auto kLongestLife = 50s;  // of a counter, until it is read for the last time; Redis keeps it for 60 s

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::atoll(text) : otherwise;
}

/// One run: starts the workers, moves their minutes on, and reads the counters of each minute when it is over.
class Trial {
 public:
  Trial(std::int64_t operations, Sabotage sabotage)
      : operations_(operations),
        sabotage_(sabotage),
        seed_(
            static_cast<std::uint64_t>(from_environment("TOLLGATE_ORACLE_SEED", std::random_device{}() % 1'000'000))) {
    server_.command({"CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0"});  // MONITOR may fall behind
    for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
      server_.command({"SCRIPT", "LOAD", std::string{script->source}});  // so that there is no NOSCRIPT in the record
    }
    for (int i = 0; i < kWorkers; ++i) {
      logs_.push_back(std::make_unique<Log>(static_cast<std::size_t>(2 * operations + 1000)));
    }
    std::cout << "seed " << seed_ << ", " << operations << " operations" << std::endl;
    execute();
  }

  [[nodiscard]] const auto& disagreements() const { return replay_.disagreements(); }
  [[nodiscard]] const auto& counts() const { return replay_.counts(); }

 private:
  void execute() {
    const auto start = Clock::now();
    shared_->operations_left = operations_;
    Processes processes;
    for (int i = 0; i < kWorkers; ++i) {
      processes.start([this, i] {
        const std::uint64_t seed = seed_ * kWorkers + static_cast<std::uint64_t>(i);
        Log& log = *logs_[static_cast<std::size_t>(i)];
        if (i == kPlainWorker) {
          run_plain_worker(seed, server_.port(), *shared_, log);
        } else {
          run_worker(i, seed, sabotage_, server_.url(), *shared_, log);
        }
      });
    }
    Recorder recorder;
    Monitor monitor{server_.port(), [&](auto address, const auto& words) { recorder.on_command(address, words); }};
    shared_->go = true;
    conduct();
    if (processes.join() != 0) replay_.disagree(Disagreement::kRun, "a process failed");
    while (audited_minute_ <= shared_->phase + 2) audit();
    server_.command({"ECHO", std::string{Monitor::kEnd}});
    monitor.finish();

    for (const std::string& key : server_.keys_without_ttl()) {
      replay_.disagree(Disagreement::kRun, key + " never expires");
    }
    for (const auto& worker : shared_->workers) {
      if (worker.undelivered != 0) replay_.disagree(Disagreement::kRun, "posts were not delivered");
    }
    const auto ran = Clock::now();
    std::vector<const Log*> logs;
    for (const auto& log : logs_) logs.push_back(log.get());
    replay_.run(logs, recorder.commands(), audited_);
    print(std::chrono::duration<double>(ran - start).count(),
          std::chrono::duration<double>(Clock::now() - ran).count());
  }

  /// Waits until every worker has ended, or none has made progress for long; then join() reports it.
  void conduct() {
    minute_starts_.assign(2, Clock::now());
    auto next_at = operations_ - kOperationsPerMinute;
    auto last_progress = Clock::now();
    for (std::int64_t before = operations_, reached = 0; reached < kEnded; std::this_thread::sleep_for(1ms)) {
      reached = kEnded;
      for (const auto& worker : shared_->workers) reached = std::min(reached, worker.phase.load());
      const std::int64_t left = shared_->operations_left;
      if (left != std::exchange(before, left)) last_progress = Clock::now();
      if (Clock::now() - last_progress > 60s) return replay_.disagree(Disagreement::kRun, "the workers stand still");
      if (reached < shared_->phase || reached == kEnded) continue;
      while (audited_minute_ + 2 <= reached) audit();
      if (left > next_at && Clock::now() - minute_starts_.back() < kLongestMinute) continue;
      next_at = left - kOperationsPerMinute;
      minute_starts_.push_back(Clock::now());
      ++shared_->phase;
    }
  }

  /// Reads the counters of a minute that is no longer charged, after all its undos.
  void audit() {
    const auto minute = static_cast<std::size_t>(audited_minute_++);
    // A counter may have been begun by a clock that was a minute ahead.
    if (Clock::now() - minute_starts_.at(std::min(minute, minute_starts_.size()) - 1) > kLongestLife) {
      replay_.disagree(Disagreement::kRun, "too slow: counters may expire before they are read");
    }
    for (int budget = 0; budget < static_cast<int>(kBudgets.size()); ++budget) {
      for (int user = 0; user < kUsers; ++user) {
        const std::string key = key_of(counter_of(budget, user, kFirstMinute + static_cast<std::int64_t>(minute)));
        audited_.push_back(server_.command({"GET", key}).to_integer());
        const auto ttl = server_.command({"TTL", key}).to_integer();
        if (ttl == -1 || ttl > 60) replay_.disagree(Disagreement::kRun, key + " has a TTL of " + std::to_string(*ttl));
      }
    }
  }

  void print(double ran_s, double replayed_s) const {
    std::cout << ran_s << " s, and " << replayed_s << " s for the replay\n";
    for (const auto& [what, count] : counts()) std::cout << "  " << what << ": " << count << '\n';
    for (const auto& [kind, texts] : disagreements()) {
      for (const std::string& text : texts) {
        std::cout << "  disagreement " << static_cast<int>(kind) << ": " << text << '\n';
      }
    }
    std::cout << std::flush;
  }

  const std::int64_t operations_;
  const Sabotage sabotage_;
  const std::uint64_t seed_;
  testing::RedisServer server_;
  SharedCounters<SharedState> shared_;
  std::vector<std::unique_ptr<Log>> logs_;
  Replay replay_;
  std::vector<Clock::time_point> minute_starts_;
  std::int64_t audited_minute_ = 1;
  std::vector<std::optional<std::int64_t>> audited_;
};

TEST(Oracle, AgreesWithEveryAnswerAndEveryCounter) {
  const Trial trial{from_environment("TOLLGATE_ORACLE_OPERATIONS", TOLLGATE_ORACLE_DEFAULT_OPERATIONS),
                    Sabotage::kNone};
  EXPECT_THAT(trial.disagreements(), IsEmpty());
  // All of this happened, or agreement would mean little.
  for (const char* what :
       {"admitted: pipelined", "admitted: atomic", "admitted: plain", "admitted after a look", "denied: pipelined",
        "denied: atomic", "denied: plain", "denied: by a look", "denied: remembered", "denied: over the limit",
        "given back", "charged past the limit", "repeated: charges", "repeated: adjustments", "resets", "audits"}) {
    EXPECT_THAT(trial.counts(), Contains(Pair(what, Gt(10))));
  }
}

TEST(Oracle, NoticesAnUndoThatIsLeftOut) {
  EXPECT_THAT((Trial{kFew, Sabotage::kUndoLeftOut}.disagreements()), Contains(Key(Disagreement::kCounter)));
}

TEST(Oracle, NoticesASettlementThatIsLeftOut) {
  EXPECT_THAT((Trial{kFew, Sabotage::kSettleLeftOut}.disagreements()), Contains(Key(Disagreement::kCommand)));
}

TEST(Oracle, NoticesASettlementThatIsAppliedTwice) {
  EXPECT_THAT((Trial{kFew, Sabotage::kSettleAppliedTwice}.disagreements()), Contains(Key(Disagreement::kCounter)));
}

TEST(Oracle, NoticesALimitThatIsOneTooHigh) {
  const Trial trial{kFew, Sabotage::kLimitTooHigh};
  EXPECT_THAT(trial.disagreements(), Contains(Key(Disagreement::kOverAdmitted)));
  EXPECT_THAT(trial.disagreements(), Contains(Key(Disagreement::kAnswer)));
}

TEST(Oracle, NoticesALimitThatIsOneTooLow) {
  EXPECT_THAT((Trial{kFew, Sabotage::kLimitTooLow}.disagreements()), Contains(Key(Disagreement::kAnswer)));
}

TEST(Oracle, NoticesADenialRememberedForTooLong) {
  EXPECT_THAT((Trial{kFew, Sabotage::kMemoryTooLong}.disagreements()), Contains(Key(Disagreement::kLocalDenial)));
}

}  // namespace
}  // namespace tollgate::tests
