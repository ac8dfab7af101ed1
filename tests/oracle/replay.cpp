#include "oracle/replay.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "values/scripts.hpp"

namespace tollgate::tests {
namespace {

constexpr std::uint32_t kDenyMemoryMs = 1000;  // the default

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// `o<budget>:u<user>:<minute>`; nothing when it is another key.
std::optional<Counter> parse_counter(std::string_view key) {
  if (key.size() < 7 || key[0] != 'o' || key.substr(2, 2) != ":u" || key[5] != ':') return std::nullopt;
  const Counter counter = counter_of(key[1] - '0', key[4] - '0', number(key.substr(6)));
  constexpr Counter kFarAway = 1'000'000;
  return counter < kFarAway && key_of(counter) == key ? std::optional{counter} : std::nullopt;
}

/// As MONITOR prints it.
std::string printed(std::string_view source) {
  std::string text;
  for (const char character : source) {
    if (character == '\n') {
      text += "\\n";
    } else {
      text += character;
    }
  }
  return text;
}

/// Called by its SHA-1 or with its source, as posts are.
bool is_call_of(const Script& script, std::string_view name, std::string_view text) {
  return (name == "EVALSHA" && text == script.sha1) || (name == "EVAL" && text == printed(script.source));
}

Command::Kind kind_of(std::string_view name, std::string_view script) {
  if (name == "INCRBY") return Command::kIncrBy;
  if (is_call_of(kAdmitScript, name, script)) return Command::kAdmit;
  if (is_call_of(kAdjustScript, name, script)) return Command::kAdjust;
  if (name == "GET") return Command::kGet;
  if (name == "DECRBY") return Command::kDecrBy;
  if (name == "UNLINK") return Command::kUnlink;
  if (name == "SCAN") return Command::kScan;
  return Command::kOther;
}

}  // namespace

void Recorder::on_command(std::string_view address, const std::vector<std::string_view>& words) {
  if (words[0] == "EXPIRE" || words.size() < 2) return;
  Command command{.kind = kind_of(words[0], words[1])};
  if (address.starts_with("unix:")) {
    const auto counter = parse_counter(words[1]);
    if (command.kind != Command::kGet || !counter) return;
    command.worker = kAuditor;
    command.counter = *counter;
    return commands_.push_back(command);
  }
  for (const std::string_view word : words) {
    constexpr std::string_view kName = ":worker-";
    const auto at = word.find(kName);
    if (at == std::string_view::npos) continue;
    workers_.emplace(address, static_cast<std::uint8_t>(number(word.substr(at + kName.size()))));
    return;
  }
  const auto known = workers_.find(address);
  if (known == workers_.end()) return;
  command.worker = known->second;
  const bool script = command.kind == Command::kAdmit || command.kind == Command::kAdjust;
  if (script && words[2] == "0") return;  // only loads the script
  const bool recorded = script && words[2] == "2";
  const std::size_t key = script ? 3 : 1;
  if (command.kind != Command::kScan) {
    const auto counter = words.size() > key ? parse_counter(words[key]) : std::nullopt;
    if (!counter) command.kind = Command::kOther;
    command.counter = counter.value_or(0);
  }
  if (recorded) command.record = std::hash<std::string_view>{}(words[4]) | 1U;
  const std::size_t tokens = key + (recorded ? 2 : 1);
  if (words.size() > tokens && command.kind != Command::kScan) command.tokens = number(words[tokens]);
  commands_.push_back(command);
}

void Replay::disagree(Disagreement kind, std::string text) {
  std::vector<std::string>& texts = found_[kind];
  if (texts.size() < 3) texts.push_back(std::move(text));
}

Model& Replay::model(Counter counter) {
  if (counter >= models_.size()) models_.resize(counter + 1);
  return models_[counter];
}

std::string Replay::where(const Worker& worker) const {
  if (worker.next == worker.end) return "worker " + std::to_string(worker.number) + ", after its last entry";
  const Entry& entry = *worker.next;
  return "worker " + std::to_string(worker.number) + ", entry " + std::to_string(worker.next - worker.first) +
         " (kind " + std::to_string(entry.kind) + ", way " + std::to_string(static_cast<int>(entry.way)) + ", " +
         key_of(entry.counter) + ", " + std::to_string(entry.tokens) + " tokens, name " + std::to_string(entry.name) +
         ", decided " + (entry.allowed ? "yes" : "no") + (entry.local ? " locally" : "") + ")";
}

void Replay::run(const std::vector<const Log*>& logs, const std::vector<Command>& commands,
                 const std::vector<std::optional<std::int64_t>>& audited) {
  for (const Log* log : logs) {
    workers_.push_back({.number = static_cast<int>(workers_.size()),
                        .first = log->begin(),
                        .next = log->begin(),
                        .end = log->end(),
                        .owed = {},
                        .seen = {}});
  }
  std::size_t audits = 0;
  for (const Command& command : commands) {
    ++counts_["commands"];
    if (command.worker != kAuditor) {
      follow(command.worker, command);
    } else if (audits < audited.size()) {
      audit(command, audited[audits++]);
    }
  }
  if (audits != audited.size()) disagree(Disagreement::kRun, "the record lacks some of the auditor's reads");
  for (Worker& worker : workers_) finish(worker);
  counts_["counters"] = static_cast<std::int64_t>(
      std::count_if(models_.begin(), models_.end(), [](const Model& one) { return one.exists || one.life > 0; }));
}

void Replay::follow(std::uint8_t number, const Command& command) {
  Worker& worker = workers_.at(number);
  Model& counter = model(command.counter);
  const bool undoes = command.kind == Command::kAdjust || command.kind == Command::kDecrBy;
  const std::int64_t change = command.kind == Command::kDecrBy ? -command.tokens : command.tokens;
  if (worker.owed && undoes && command.record == 0 && command.counter == worker.owed->counter &&
      change == -worker.owed->tokens) {
    if (worker.owed->life != counter.life) ++counts_["undone in another life"];
    counter.undo(worker.owed->tokens, worker.owed->life, command.kind == Command::kDecrBy);
    worker.owed.reset();
    return;
  }
  skip_silent(worker, &command);
  if (worker.next != worker.end && belongs(worker, command)) return apply(worker, command);
  constexpr int kLookahead = 8;  // so that one command that is missing does not hide what follows
  const Worker before = worker;
  for (int missing = 1; missing < kLookahead && worker.next != worker.end; ++missing) {
    ++worker.next;
    worker.under_way = false;
    skip_silent(worker, nullptr);
    if (worker.next == worker.end || !belongs(worker, command)) continue;
    disagree(Disagreement::kCommand, "no command for " + where(before));
    return apply(worker, command);
  }
  worker = before;
  disagree(Disagreement::kCommand, "a command (kind " + std::to_string(command.kind) + ", " +
                                       std::to_string(command.tokens) + " tokens on " + key_of(command.counter) +
                                       ") that does not belong to " + where(worker));
  if (command.kind == Command::kUnlink) counter.reset();
  if (command.kind == Command::kIncrBy || undoes) counter.move(change, true);
}

/// Past the entries that take no command, and past a reset that has had all of its.
void Replay::skip_silent(Worker& worker, const Command* command) {
  for (; worker.next != worker.end; ++worker.next) {
    const Entry& entry = *worker.next;
    if (entry.kind == Entry::kReset && worker.under_way) {
      if (command != nullptr && (command->kind == Command::kUnlink || command->kind == Command::kScan)) return;
      worker.under_way = false;
    } else if (entry.kind == Entry::kCharge && entry.local && !worker.under_way) {
      const Seen& what = seen(worker, entry);
      const bool too_large = entry.tokens > budget_of(entry.counter).limit;
      const bool remembered =
          what.counter == entry.counter && entry.tokens > what.left && entry.time_ms < what.until_ms;
      if (entry.allowed || entry.remaining != Entry::kNotKnown || (!too_large && !remembered)) {
        disagree(Disagreement::kLocalDenial, where(worker));
      }
      ++counts_[too_large ? "denied: over the limit" : "denied: remembered"];
    } else if (entry.kind != Entry::kNothing) {
      return;
    }
  }
}

bool Replay::same_record(std::uint32_t name, std::uint64_t record) {
  if ((name == 0) != (record == 0)) return false;
  return name == 0 ||
         (records_.emplace(name, record).first->second == record && names_.emplace(record, name).first->second == name);
}

bool Replay::belongs(const Worker& worker, const Command& command) {
  const Entry& entry = *worker.next;
  const bool same_counter = entry.counter == command.counter;
  switch (entry.kind) {
    case Entry::kPeek: return command.kind == Command::kGet && same_counter;
    case Entry::kReset:
      return command.kind == Command::kScan ||
             (command.kind == Command::kUnlink && entry.counter % 8 == command.counter % 8);
    case Entry::kAdjust:
      return command.kind == Command::kAdjust && same_counter && command.tokens == entry.tokens &&
             same_record(entry.name, command.record);
    case Entry::kCharge:
      if (!same_counter) return false;
      if (command.kind == Command::kGet) {
        const bool may_look = remembers_denials(worker.number);
        return entry.tokens == 0 || (entry.way == Way::kPipelined && may_look && !worker.under_way);
      }
      return command.tokens == entry.tokens &&
             (entry.way == Way::kAtomic ? command.kind == Command::kAdmit && same_record(entry.name, command.record)
                                        : command.kind == Command::kIncrBy);
    default: return false;
  }
}

void Replay::apply(Worker& worker, const Command& command) {
  const Entry& entry = *worker.next;
  const std::int64_t limit = budget_of(entry.counter).limit;
  Model& counter = model(command.counter);
  if (entry.kind == Entry::kCharge && entry.tokens > limit && entry.way != Way::kPlain) {
    disagree(Disagreement::kCommand, "asked Redis although it never fits: " + where(worker));
  }
  switch (command.kind) {
    case Command::kGet: {
      const bool fits = counter.fits(entry.kind == Entry::kPeek ? 0 : entry.tokens, limit);
      const bool decides = entry.kind == Entry::kPeek || entry.tokens == 0 || !fits;
      if (entry.kind == Entry::kCharge && entry.tokens > 0) see(worker, entry, counter.used());
      worker.under_way = !decides;
      if (!decides) return;
      if (!fits && entry.kind == Entry::kCharge) ++counts_["denied: by a look"];
      return conclude(worker, fits, counter.used());
    }
    case Command::kIncrBy: {
      bool allowed = counter.charge(entry.tokens, limit);
      if (worker.under_way) ++counts_[allowed ? "admitted after a look" : "denied after a look that fitted"];
      worker.under_way = false;
      const std::int64_t used = allowed ? counter.value : counter.value - entry.tokens;
      if (!entry.allowed) worker.owed = Owed{entry.counter, entry.tokens, counter.life};
      ++counts_[entry.way == Way::kPlain ? (allowed ? "admitted: plain" : "denied: plain")
                                         : (allowed ? "admitted: pipelined" : "denied: pipelined")];
      conclude(worker, allowed, used);
      return;
    }
    case Command::kAdmit: {
      const auto first = entry.name != 0 ? firsts_.find(entry.name) : firsts_.end();
      if (first != firsts_.end()) {
        ++counts_["repeated: charges"];
        return conclude(worker, first->second.allowed, first->second.used);
      }
      const std::int64_t before = counter.used();
      const bool allowed = counter.fits(entry.tokens, limit);
      if (allowed) counter.charge(entry.tokens, limit);
      if (!allowed && entry.name == 0) see(worker, entry, before);
      const std::int64_t used = allowed ? counter.used() : before;
      if (entry.name != 0) firsts_[entry.name] = {allowed, used};
      ++counts_[allowed ? "admitted: atomic" : "denied: atomic"];
      return conclude(worker, allowed, used);
    }
    case Command::kAdjust: {
      if (entry.tokens < 0) seen(worker, entry) = {};
      const bool first = entry.name == 0 || adjusted_.emplace(entry.name, true).second;
      if (first) counter.adjust(entry.tokens, entry.may_create);
      ++counts_[!first ? "repeated: adjustments" : entry.tokens < 0 ? "given back" : "charged past the limit"];
      ++worker.next;
      return;
    }
    case Command::kUnlink: counter.reset(); [[fallthrough]];
    default:
      if (!worker.under_way) ++counts_["resets"];
      worker.under_way = true;
      seen(worker, entry) = {};
  }
}

/// The model follows the recorded decisions, so that over-admission is detected too.
void Replay::conclude(Worker& worker, bool allowed, std::int64_t used) {
  const Entry& entry = *worker.next;
  const std::int64_t limit = budget_of(entry.counter).limit;
  const std::int64_t remaining = std::clamp<std::int64_t>(limit - std::max<std::int64_t>(used, 0), 0, limit);
  const bool allowed_is_known = entry.kind != Entry::kPeek || entry.tokens != Entry::kNotKnown;
  const bool answers_differ = allowed_is_known && entry.allowed != allowed;
  if (answers_differ || entry.local || (entry.remaining != Entry::kNotKnown && entry.remaining != remaining)) {
    disagree(Disagreement::kAnswer, where(worker) + ", " + std::to_string(entry.remaining) + " remaining, but it is " +
                                        (allowed ? "yes" : "no") + ", " + std::to_string(remaining) + " remaining");
  }
  Model& counter = model(entry.counter);
  if (answers_differ && entry.kind == Entry::kCharge) counter.admitted += entry.allowed ? entry.tokens : -entry.tokens;
  if (entry.kind == Entry::kCharge && entry.allowed && counter.admitted - counter.returned > limit) {
    disagree(Disagreement::kOverAdmitted, where(worker) + ": " + std::to_string(counter.admitted) + " admitted, " +
                                              std::to_string(counter.returned) + " returned, limit " +
                                              std::to_string(limit));
  }
  ++worker.next;
}

void Replay::audit(const Command& command, std::optional<std::int64_t> counter) {
  ++counts_["audits"];
  const Model& expected = model(command.counter);
  const std::int64_t sum = expected.admitted - expected.returned + expected.excess;
  if (counter.has_value() == expected.exists && counter.value_or(0) == expected.value && expected.value == sum) return;
  disagree(Disagreement::kCounter,
           key_of(command.counter) + " holds " + (counter ? std::to_string(*counter) : "nothing") +
               "; by its commands " + (expected.exists ? std::to_string(expected.value) : "nothing") + "; " +
               std::to_string(expected.admitted) + " admitted - " + std::to_string(expected.returned) + " returned + " +
               std::to_string(expected.excess) + " excess = " + std::to_string(sum));
}

void Replay::finish(Worker& worker) {
  skip_silent(worker, nullptr);
  if (worker.next != worker.end) disagree(Disagreement::kCommand, "no command for " + where(worker));
  if (worker.owed) disagree(Disagreement::kCommand, "a denial at the end was never undone");
}

Replay::Seen& Replay::seen(Worker& worker, const Entry& entry) {
  return worker.seen.at((entry.way == Way::kAtomic ? 8U : 0U) + entry.counter % 8);
}

void Replay::see(Worker& worker, const Entry& entry, std::int64_t used) {
  const std::int64_t limit = budget_of(entry.counter).limit;
  if (!remembers_denials(worker.number) || used > limit) return;
  seen(worker, entry) = {entry.counter, limit - used, entry.time_ms + kDenyMemoryMs};
}

}  // namespace tollgate::tests
