// The oracle: processes do random things to a few users at once, each in its own way, and a model replays what Redis
// says it executed. Every answer that a process was given must be the model's, and every counter too.
//
// TOLLGATE_ORACLE_OPERATIONS and TOLLGATE_ORACLE_SEED in the environment set the number of operations and the seed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "integration/plain_client.hpp"
#include "integration/processes.hpp"
#include "oracle/model.hpp"
#include "oracle/monitor.hpp"
#include "tollgate/algorithm/scripts.hpp"
#include "tollgate/algorithm/window.hpp"
#include "tollgate/redis/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kLimit = 20'000;
constexpr int kUsers = 4;
constexpr int kWorkers = 5;  // pipelined, pipelined without deny memory, atomic, atomic without deny memory, plain
constexpr int kPlainWorker = 4;
const std::string kPrefix = "oracle";

std::string user_name(int user) { return "u" + std::to_string(user); }

/// What one worker asked and was told, in order.
struct Entry {
  enum Kind : std::uint8_t { kAsk, kAdjust } kind = kAsk;
  bool allowed = false;
  bool local = false;
  std::uint8_t user = 0;
  std::int64_t tokens = 0;
};

struct Log {
  std::size_t size = 0;
  std::array<Entry, 4'000'000> entries;  // pages that are not touched cost nothing
};

struct Shared {
  std::atomic<std::int64_t> minute{0};
  std::atomic<std::int64_t> operations_left{0};
  std::array<std::atomic<std::uint64_t>, kWorkers> undelivered{};
};

class SharedMinute final : public Clock {
 public:
  explicit SharedMinute(const Shared& shared) : shared_(shared) {}
  std::chrono::system_clock::time_point now() const noexcept override {
    return testing::ManualClock::kStart + std::chrono::minutes{shared_.minute.load()};
  }
  std::chrono::steady_clock::time_point steady_now() const noexcept override {
    return std::chrono::steady_clock::now();
  }

 private:
  const Shared& shared_;
};

enum class Sabotage { kNone, kUndoLeftOut, kLimitOffByOne, kSettleAppliedTwice };

/// A client that is broken on purpose, to see that the oracle notices.
class Saboteur final : public RedisClient {
 public:
  Saboteur(std::shared_ptr<RedisClient> client, Sabotage sabotage) : client_(std::move(client)), sabotage_(sabotage) {}
  BatchResult execute(const CommandBatch& batch, Deadline deadline,
                      const std::shared_ptr<ReplyHandler>& late) override {
    return client_->execute(batch, deadline, late);
  }
  void post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) override {
    ++posts_;
    if (sabotage_ == Sabotage::kUndoLeftOut && posts_ % 100 == 0) return;
    if (sabotage_ == Sabotage::kSettleAppliedTwice && posts_ % 100 == 0) client_->post(batch, handler);
    client_->post(std::move(batch), std::move(handler));
  }
  bool drain(std::chrono::steady_clock::time_point deadline) override { return client_->drain(deadline); }

 private:
  std::shared_ptr<RedisClient> client_;
  Sabotage sabotage_;
  int posts_ = 0;
};

/// One process: asks, and writes down what it was told.
class Worker {
 public:
  Worker(int number, unsigned seed, Sabotage sabotage, const testing::RedisServer& server, Shared& shared, Log& log)
      : number_(number),
        random_(seed + static_cast<unsigned>(number)),
        shared_(shared),
        log_(log),
        client_(std::make_shared<Saboteur>(connect(server.url(), {.connect_timeout = 30s, .command_timeout = 30s}),
                                           sabotage)),
        atomic_(number == 2 || number == 3),
        limiter_(client_, {.max_tokens_per_minute = kLimit + (sabotage == Sabotage::kLimitOffByOne ? 1 : 0),
                           .key_prefix = kPrefix,
                           .admission = atomic_ ? Admission::kAtomic : Admission::kPipelined,
                           .deny_memory = number % 2 == 0 ? 50ms : 0ms,
                           .clock = std::make_shared<SharedMinute>(shared)}) {}

  void run() {
    // By this the record tells which connection is whose.
    static_cast<void>(limiter_.get_remaining("worker-" + std::to_string(number_)));
    while (shared_.operations_left.fetch_sub(1) > 0) act();
    while (!open_.empty()) settle_one();
    if (!client_->drain(std::chrono::steady_clock::now() + 30s)) throw std::runtime_error("not drained");
    shared_.undelivered[static_cast<std::size_t>(number_)] = limiter_.undelivered().batches;
  }

 private:
  struct Open {
    Reservation reservation;
    int user;
    std::int64_t minute;
    bool in_two_minutes = false;  // then what can be given back is not all that is held
  };

  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }
  std::int64_t pick_tokens() {
    switch (pick(0, 9)) {
      case 0: return pick(kLimit / 4, kLimit);
      case 1: return pick(kLimit - 2, kLimit + 2);
      default: return pick(0, 60);
    }
  }
  void write_down(Entry entry) { log_.entries.at(log_.size++) = entry; }
  void write_down_answer(int user, std::int64_t tokens, const Decision& decision) {
    write_down(
        {Entry::kAsk, decision.allowed, decision.source == Source::kLocal, static_cast<std::uint8_t>(user), tokens});
  }

  void act() {
    const int user = static_cast<int>(pick(0, kUsers - 1));
    const std::int64_t kind = pick(0, 999);
    if (kind < 550) {
      const std::int64_t tokens = pick_tokens();
      write_down_answer(user, tokens, limiter_.consume(user_name(user), tokens));
    } else if (kind < 600) {
      write_down_answer(user, 0, limiter_.peek(user_name(user)));
    } else if (kind < 800) {
      const std::int64_t tokens = pick_tokens();
      const std::int64_t minute = shared_.minute;
      open_.push_back({limiter_.reserve(user_name(user), tokens), user, minute, minute != shared_.minute});
      write_down_answer(user, tokens, open_.back().reservation.decision());
    } else if (kind < 860 && !open_.empty()) {
      Open& open = open_[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(open_.size()) - 1))];
      const std::int64_t tokens = pick(0, 30);
      write_down_answer(open.user, tokens, open.reservation.add(tokens));
      open.in_two_minutes = open.in_two_minutes || open.minute != shared_.minute;
    } else if (kind < 880) {
      const std::int64_t tokens = pick(1, 20);
      limiter_.record(user_name(user), tokens);
      write_down({Entry::kAdjust, true, false, static_cast<std::uint8_t>(user), tokens});
    } else if (kind < 882) {
      limiter_.reset(user_name(user));
    } else if (kind < 930 && atomic_) {
      const std::string id = std::to_string(number_) + "-" + std::to_string(log_.size);
      const std::int64_t tokens = pick_tokens();
      for (int repeated = 0; repeated < 2; ++repeated) {
        write_down_answer(user, tokens, limiter_.consume(user_name(user), tokens, {.operation_id = id}));
      }
    }
    if (open_.size() > 8) settle_one();
  }

  void settle_one() {
    Open open = std::move(open_.front());
    open_.pop_front();
    const std::int64_t held = open.reservation.tokens();
    if (!open.reservation.allowed() && held == 0) return open.reservation.cancel();
    const std::int64_t least = open.in_two_minutes ? held : 0;
    const std::array actuals{pick(least, held), held, held + pick(0, 40), least};
    const std::int64_t actual = actuals.at(static_cast<std::size_t>(pick(0, 3)));
    Reservation& reservation = open.reservation;
    if (pick(0, 9) == 0) {  // two settle it, one does
      Reservation other = limiter_.adopt(reservation.token());
      other.settle(actual);
    }
    write_down({Entry::kAdjust, true, false, static_cast<std::uint8_t>(open.user), actual - held});
    reservation.settle(actual);
    reservation.settle(0);  // has no effect
  }

  const int number_;
  std::minstd_rand random_;
  Shared& shared_;
  Log& log_;
  std::shared_ptr<RedisClient> client_;
  const bool atomic_;
  RedisRateLimiter limiter_;
  std::deque<Open> open_;
};

/// Adds a little now and then, and gives nothing back.
void run_plain_worker(unsigned seed, const testing::RedisServer& server, Shared& shared) {
  PlainClient plain{server.port(), std::numeric_limits<long long>::max()};
  std::minstd_rand random{seed};
  plain.check_and_consume(kPrefix + ":worker-" + std::to_string(kPlainWorker) + ":0", 1);
  const SharedMinute clock{shared};
  while (shared.operations_left.fetch_sub(1) > 0) {
    const std::string user = user_name(static_cast<int>(random() % kUsers));
    plain.check_and_consume(
        std::string{algorithm::Key::counter(kPrefix, user, algorithm::unix_minute(clock.now())).view()}, 1);
  }
}

/// Follows the record with the model, and notes per connection what its owner must have been answered.
class Oracle {
 public:
  struct Expected {
    bool look = false;
    bool allowed = false;   // of a charge
    std::int64_t used = 0;  // what a look or an atomic denial showed
    bool atomic = false;
  };

  void on_command(const std::string& address, const std::vector<std::string>& words) {
    ++commands_;
    const std::string& name = words[0];
    const bool script = name == "EVALSHA";
    const std::string* const key = script && words.size() > 3 ? &words[3] : words.size() > 1 ? &words[1] : nullptr;
    if (key == nullptr || !key->starts_with(kPrefix + ":")) return;
    if (const auto at = key->find(":worker-"); at != std::string::npos) {
      workers_[address] = std::stoi(key->substr(at + 8));
      return;
    }
    const auto found = workers_.find(address);
    if (found == workers_.end()) return;  // the test's own looks
    const int worker = found->second;
    if (name == "SCAN" || name == "EXPIRE") return;
    Model& model = models_[*key];
    if (name == "INCRBY") {
      const bool plain = worker == kPlainWorker;
      const bool allowed = model.charge(worker, number(words[2]), kLimit, true, !plain);
      if (!plain) expect(worker, {.allowed = allowed});
    } else if (name == "GET") {
      expect(worker, {.look = true, .used = model.value});
    } else if (name == "UNLINK") {
      model.reset();
    } else if (script && words[1] == algorithm::kAdmitScript.sha1) {
      on_admit(worker, model, words);
    } else if (script && words[1] == algorithm::kAdjustScript.sha1) {
      on_adjust(worker, model, words);
    } else {
      problem("an unexpected command: " + name);
    }
    if (model.held > kLimit + model.forgiven) problem("over-admitted on " + *key);
  }

  /// Holds what a worker wrote down against what it must have been told.
  void compare(int worker, const Log& log) {
    std::deque<Expected>& expected = expected_[worker];
    std::array<std::int64_t, kUsers> shown_left{};
    shown_left.fill(kLimit);
    const auto next = [&] {
      if (expected.empty()) {
        problem("worker " + std::to_string(worker) + " was told more than Redis executed");
        return Expected{};
      }
      const Expected front = expected.front();
      expected.pop_front();
      return front;
    };
    for (std::size_t i = 0; i < log.size && problems_.size() < 10; ++i) {
      const Entry& entry = log.entries.at(i);
      std::int64_t& left = shown_left.at(entry.user);
      if (entry.kind == Entry::kAdjust) {
        wanted_[entry.user] += entry.tokens;
        continue;
      }
      const std::string what = "worker " + std::to_string(worker) + ", entry " + std::to_string(i);
      if (entry.local) {
        if (entry.allowed || (entry.tokens <= kLimit && entry.tokens <= left)) problem(what + ": a wrong local denial");
        continue;
      }
      Expected front = next();
      if (front.look) {
        const bool fits = entry.tokens <= kLimit - front.used;
        if (entry.tokens > 0 && front.used <= kLimit) left = kLimit - front.used;
        if (entry.tokens == 0 || !fits) {
          if (entry.allowed != fits) problem(what + ": a look that the counter does not bear out");
          continue;
        }
        front = next();
      }
      if (front.look || entry.allowed != front.allowed) problem(what + ": answered otherwise than the model");
      if (front.atomic && !front.allowed && front.used <= kLimit) left = kLimit - front.used;
    }
    if (!expected.empty()) problem("worker " + std::to_string(worker) + " was told less than Redis executed");
  }

  void check_counters(const testing::RedisServer& server, std::int64_t minute) {
    for (const auto& [key, model] : models_) {
      const Reply counter = server.command({"GET", key});
      // Those of minutes long past may have expired by now.
      const bool may_be_gone = number(key.substr(key.rfind(':') + 1)) < minute - 60;
      if (may_be_gone && counter.is_nil()) continue;
      if (counter.is_nil() == model.exists || counter.to_integer().value_or(0) != model.value) {
        problem(key + " holds " + counter.text() + " instead of " + std::to_string(model.value));
      }
      for (const auto& charge : model.owed) {
        problem(key + ": a denial of " + std::to_string(charge.first.second) + " was never undone");
        break;
      }
    }
    for (int user = 0; user < kUsers; ++user) {
      if (wanted_[user] != adjusted_[user]) {
        problem(user_name(user) + ": settled by " + std::to_string(adjusted_[user]) + " instead of " +
                std::to_string(wanted_[user]));
      }
    }
  }

  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  [[nodiscard]] std::size_t commands() const { return commands_; }
  [[nodiscard]] std::size_t counters() const { return models_.size(); }

 private:
  static std::int64_t number(const std::string& text) { return std::stoll(text); }
  void expect(int worker, Expected expected) { expected_[worker].push_back(expected); }
  void problem(std::string text) { problems_.push_back(std::move(text)); }

  void on_admit(int worker, Model& model, const std::vector<std::string>& words) {
    const bool recorded = words[2] == "2";
    const std::size_t first = recorded ? 5 : 4;
    if (recorded) {
      if (const auto done = operations_.find(words[4]); done != operations_.end()) return expect(worker, done->second);
    }
    const std::int64_t used = model.value;
    const bool allowed = model.charge(worker, number(words[first]), kLimit, false, false);
    const Expected expected{.allowed = allowed, .used = used, .atomic = !recorded};
    if (recorded) operations_[words[4]] = expected;
    expect(worker, expected);
  }

  void on_adjust(int worker, Model& model, const std::vector<std::string>& words) {
    const bool recorded = words[2] == "2";
    const std::size_t first = recorded ? 5 : 4;
    if (recorded && !settled_.insert(words[4]).second) return;
    const std::int64_t tokens = number(words[first]);
    const bool undid = model.adjust(worker, tokens, tokens > 0 && words[first + 1] != "0");
    if (!undid) adjusted_[words[3].at(kPrefix.size() + 2) - '0'] += tokens;
  }

  std::unordered_map<std::string, int> workers_;  // by address
  std::map<std::string, Model> models_;           // by key
  std::map<std::string, Expected> operations_;
  std::set<std::string> settled_;
  std::map<int, std::deque<Expected>> expected_;  // by worker
  std::map<int, std::int64_t> wanted_;            // by user: what the workers settled, added and recorded
  std::map<int, std::int64_t> adjusted_;          // by user: what Redis was told of it
  std::vector<std::string> problems_;
  std::size_t commands_ = 0;
};

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::atoll(text) : otherwise;
}

std::vector<std::string> problems_found(Sabotage sabotage, std::int64_t operations) {
  const auto seed = static_cast<unsigned>(from_environment("TOLLGATE_ORACLE_SEED", std::random_device{}() % 1'000'000));
  testing::RedisServer server;
  for (const Script* script : {&algorithm::kAdmitScript, &algorithm::kAdjustScript}) {
    server.command({"SCRIPT", "LOAD", std::string{script->source}});  // so that no NOSCRIPT stands in the record
  }
  const SharedCounters<Shared> shared;
  std::vector<std::unique_ptr<SharedCounters<Log>>> logs;
  for (int i = 0; i < kPlainWorker; ++i) logs.push_back(std::make_unique<SharedCounters<Log>>());
  shared->operations_left = operations;

  Oracle oracle;
  Monitor monitor{server.port(), [&](const auto& address, const auto& words) { oracle.on_command(address, words); }};
  const auto start = std::chrono::steady_clock::now();
  Processes processes;
  for (int i = 0; i < kPlainWorker; ++i) {
    processes.start([&, i] { Worker{i, seed, sabotage, server, *shared, **logs[static_cast<std::size_t>(i)]}.run(); });
  }
  processes.start([&] { run_plain_worker(seed, server, *shared); });
  std::thread minutes([&] {
    for (int tick = 1; shared->operations_left > 0; ++tick) {
      std::this_thread::sleep_for(100ms);
      if (tick % 5 == 0) ++shared->minute;
    }
  });
  const int failed = processes.join();
  shared->operations_left = 0;
  minutes.join();
  server.command({"ECHO", Monitor::kEnd});
  monitor.finish();

  std::vector<std::string> problems;
  if (failed != 0) problems.push_back(std::to_string(failed) + " processes failed");
  for (int i = 0; i < kPlainWorker; ++i) oracle.compare(i, **logs[static_cast<std::size_t>(i)]);
  oracle.check_counters(server, algorithm::unix_minute(SharedMinute{*shared}.now()));
  problems.insert(problems.end(), oracle.problems().begin(), oracle.problems().end());
  for (const auto& undelivered : shared->undelivered) {
    if (undelivered != 0) problems.push_back(std::to_string(undelivered) + " posts were not delivered");
  }
  for (const std::string& key : server.keys_without_ttl()) problems.push_back(key + " never expires");

  std::size_t asked = 0;
  std::size_t denied = 0;
  std::size_t local = 0;
  for (const auto& log : logs) {
    for (std::size_t i = 0; i < (*log)->size; ++i) {
      const Entry& entry = (*log)->entries.at(i);
      asked += entry.kind == Entry::kAsk ? 1 : 0;
      denied += entry.kind == Entry::kAsk && !entry.allowed ? 1 : 0;
      local += entry.kind == Entry::kAsk && entry.local ? 1 : 0;
    }
  }
  std::cout << "seed " << seed << ": " << operations << " operations, " << asked << " answers (" << denied
            << " denials, " << local << " of them local), " << oracle.commands() << " commands on " << oracle.counters()
            << " counters in "
            << std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start).count()
            << " s\n";
  return problems;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::int64_t kOperations = 50'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::int64_t kOperations = 50'000;
#else
constexpr std::int64_t kOperations = 1'000'000;
#endif
#else
constexpr std::int64_t kOperations = 1'000'000;
#endif
constexpr std::int64_t kFew = 40'000;

TEST(Oracle, AgreesWithEveryAnswerAndEveryCounter) {
  EXPECT_THAT(problems_found(Sabotage::kNone, from_environment("TOLLGATE_ORACLE_OPERATIONS", kOperations)),
              ::testing::IsEmpty());
}

TEST(Oracle, NoticesAnUndoThatIsLeftOut) {
  EXPECT_THAT(problems_found(Sabotage::kUndoLeftOut, kFew), ::testing::Contains(::testing::HasSubstr("never undone")));
}

TEST(Oracle, NoticesALimitThatIsOffByOne) {
  EXPECT_THAT(problems_found(Sabotage::kLimitOffByOne, kFew),
              ::testing::Contains(::testing::HasSubstr("answered otherwise")));
}

TEST(Oracle, NoticesASettlementThatIsAppliedTwice) {
  EXPECT_THAT(problems_found(Sabotage::kSettleAppliedTwice, kFew),
              ::testing::Contains(::testing::HasSubstr("settled by")));
}

}  // namespace
}  // namespace tollgate::tests
