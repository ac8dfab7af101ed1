/// The specification of the scripts, as a table: the same cases run against their Lua in a real Redis and against their
/// C++ twins in a Keyspace. Arguments and replies are those of src/decisions: without the serial number.
/// Thread safety: plain values.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/rate_limit_config.hpp"
#include "tollgate/testing/replies.hpp"
#include "tollgate/values/reply.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0::testing {

struct StoredKey {
  std::string key;
  std::string value;
  std::optional<std::int64_t> ttl;  // seconds; nothing = never expires
};

struct ScriptCase {
  std::string name;
  std::vector<StoredKey> before;
  std::vector<std::int64_t> integers;
  Reply reply;                     // an error stands for every error of its kind
  std::vector<StoredKey> after;    // all keys that there are
  std::string second_key = {};     // empty = the script is given one key
  const Script* script = nullptr;  // filled in below
};

inline void PrintTo(const ScriptCase& script_case, std::ostream* out) { *out << script_case.name; }

inline constexpr std::int64_t kLargest = kMaxTokens;
inline const std::string kCounter = "prefix:user:29012345";
inline const std::string kRecord = "prefix:user:charge:op-1:4:";

/// ARGV: tokens, limit, seconds to live; with a record also the minute and the record's seconds to live.
inline std::vector<ScriptCase> admit_cases() {
  const auto& c = kCounter;
  const auto& r = kRecord;
  const Reply not_a_number = error("ERR value is not an integer or out of range");
  constexpr auto kNever = std::nullopt;
  return {
      {"FirstChargeMakesTheCounter", {}, {10, 100, 60}, integer(10), {{c, "10", 60}}},
      {"WholeLimitFitsAtOnce", {}, {100, 100, 60}, integer(100), {{c, "100", 60}}},
      {"LastTokensFitExactlyAndKeepTheTtl", {{c, "90", 17}}, {10, 100, 60}, integer(100), {{c, "100", 17}}},
      {"OneOverIsDeniedAndWritesNothing", {{c, "90", 17}}, {11, 100, 60}, integer(-91), {{c, "90", 17}}},
      {"FullCounterIsDenied", {{c, "100", 17}}, {1, 100, 60}, integer(-101), {{c, "100", 17}}},
      {"DebtIsDenied", {{c, "150", 17}}, {1, 100, 60}, integer(-151), {{c, "150", 17}}},
      {"DenialWithoutCounterMakesNone", {}, {101, 100, 60}, integer(-1), {}},
      {"CounterWithoutTtlGetsOne", {{c, "5", kNever}}, {1, 100, 60}, integer(6), {{c, "6", 60}}},
      {"DenialLeavesAMissingTtlMissing", {{c, "100", kNever}}, {1, 100, 60}, integer(-101), {{c, "100", kNever}}},
      {"CounterRefundedToZeroKeepsItsTtl", {{c, "0", 17}}, {10, 100, 60}, integer(10), {{c, "10", 17}}},
      {"NegativeCounterGrantsNoMoreThanTheLimit", {{c, "-5", 17}}, {101, 100, 60}, integer(-1), {{c, "-5", 17}}},
      {"NegativeCounterIsAddedTo", {{c, "-5", 17}}, {10, 100, 60}, integer(5), {{c, "5", 17}}},
      {"AdmittedIsNeverANegativeReply", {{c, "-20", 17}}, {10, 100, 60}, integer(0), {{c, "-10", 17}}},
      {"TextIsNoCounter", {{c, "abc", 17}}, {10, 100, 60}, not_a_number, {{c, "abc", 17}}},
      {"EmptyTextIsNoCounter", {{c, "", 17}}, {10, 100, 60}, not_a_number, {{c, "", 17}}},
      {"FractionIsNoCounter", {{c, "1.5", 17}}, {10, 100, 60}, not_a_number, {{c, "1.5", 17}}},
      {"FullFractionIsNoCounter", {{c, "99.5", 17}}, {10, 100, 60}, not_a_number, {{c, "99.5", 17}}},
      {"FullHexadecimalIsNoCounter", {{c, "0x64", 17}}, {10, 100, 60}, not_a_number, {{c, "0x64", 17}}},
      {"FullExponentIsNoCounter", {{c, "1e2", 17}}, {10, 100, 60}, not_a_number, {{c, "1e2", 17}}},
      {"PaddedNumberIsNoCounter", {{c, " 100", 17}}, {10, 100, 60}, not_a_number, {{c, " 100", 17}}},
      {"NotANumberIsNoCounter", {{c, "nan", 17}}, {10, 100, 60}, not_a_number, {{c, "nan", 17}}},
      {"NumberBeyondInt64IsNoCounter",
       {{c, "99999999999999999999", 17}},
       {1, 100, 60},
       not_a_number,
       {{c, "99999999999999999999", 17}}},
      {"NumberBelowInt64IsNoCounter",
       {{c, "-99999999999999999999", 17}},
       {1, 100, 60},
       not_a_number,
       {{c, "-99999999999999999999", 17}}},
      {"LargestLimitFitsExactly",
       {{c, std::to_string(kLargest - 1), 17}},
       {1, kLargest, 60},
       integer(kLargest),
       {{c, std::to_string(kLargest), 17}}},
      {"LargestLimitAtOnce", {}, {kLargest, kLargest, 60}, integer(kLargest), {{c, std::to_string(kLargest), 60}}},
      {"LargestLimitOneOver",
       {{c, std::to_string(kLargest - 1), 17}},
       {2, kLargest, 60},
       integer(-kLargest),
       {{c, std::to_string(kLargest - 1), 17}}},
      {"LargestCounterIsDeniedWithAnExactReply",
       {{c, "9223372036854775807", 17}},
       {1, 100, 60},
       integer(-kLargest),
       {{c, "9223372036854775807", 17}}},

      {"OperationIsRecorded",
       {},
       {10, 100, 60, 29, 120},
       array({integer(10), integer(29)}),
       {{c, "10", 60}, {r, "10 29", 120}},
       r},
      {"DeniedOperationIsRecorded",
       {{c, "95", 17}},
       {10, 100, 60, 29, 120},
       array({integer(-96), integer(29)}),
       {{c, "95", 17}, {r, "-96 29", 120}},
       r},
      {"OperationBefore1970IsRecorded",
       {},
       {10, 100, 60, -1, 120},
       array({integer(10), integer(-1)}),
       {{c, "10", 60}, {r, "10 -1", 120}},
       r},
      {"LargestOperationIsRecordedExactly",
       {},
       {kLargest, kLargest, 60, 29, 120},
       array({integer(kLargest), integer(29)}),
       {{c, std::to_string(kLargest), 60}, {r, std::to_string(kLargest) + " 29", 120}},
       r},
      {"RepetitionGetsTheFirstAnswerAndMinute",
       {{c, "50", 17}, {r, "10 28", 33}},
       {10, 100, 60, 29, 120},
       array({integer(10), integer(28)}),
       {{c, "50", 17}, {r, "10 28", 33}},
       r},
      {"RepeatedDenialStaysOne",
       {{c, "0", 17}, {r, "-96 29", 33}},
       {10, 100, 60, 29, 120},
       array({integer(-96), integer(29)}),
       {{c, "0", 17}, {r, "-96 29", 33}},
       r},
      {"RepetitionDoesNotBringACounterBack",
       {{r, "10 28", 33}},
       {10, 100, 60, 29, 120},
       array({integer(10), integer(28)}),
       {{r, "10 28", 33}},
       r},
      {"FailedOperationIsNotRecorded", {{c, "abc", 17}}, {10, 100, 60, 29, 120}, not_a_number, {{c, "abc", 17}}, r},
  };
}

/// ARGV: tokens, seconds to live; with a record also the record's seconds to live.
inline std::vector<ScriptCase> adjust_cases() {
  const auto& c = kCounter;
  const auto& r = kRecord;
  const Reply not_a_number = error("ERR value is not an integer or out of range");
  const Reply overflow = error("ERR increment or decrement would overflow");
  const Reply no_counter = integer(kNoCounter);
  constexpr auto kNever = std::nullopt;
  return {
      {"GivesBackAndKeepsTheTtl", {{c, "100", 17}}, {-30, 0}, integer(70), {{c, "70", 17}}},
      {"GivesBackEverything", {{c, "30", 17}}, {-30, 0}, integer(0), {{c, "0", 17}}},
      {"NeverGoesBelowZero", {{c, "20", 17}}, {-30, 0}, integer(0), {{c, "0", 17}}},
      {"LiftsANegativeCounterToZero", {{c, "-5", 17}}, {-3, 0}, integer(0), {{c, "0", 17}}},
      {"GivesNothingBackToACounterThatIsGone", {}, {-30, 0}, no_counter, {}},
      {"GivesNothingBackToAMissingCounterEvenWithATtl", {}, {-30, 60}, no_counter, {}},
      {"GivingBackLeavesAMissingTtlMissing", {{c, "100", kNever}}, {-30, 0}, integer(70), {{c, "70", kNever}}},
      {"AddsPastAnyLimitAndKeepsTheTtl", {{c, "100", 17}}, {50, 60}, integer(150), {{c, "150", 17}}},
      {"AddsToAnEndedWindowThatIsStillThere", {{c, "100", 17}}, {50, 0}, integer(150), {{c, "150", 17}}},
      {"MakesACounterWithATtl", {}, {500, 60}, integer(500), {{c, "500", 60}}},
      {"MakesNoCounterWithoutATtl", {}, {500, 0}, no_counter, {}},
      {"CounterWithoutTtlGetsOneWhenAddedTo", {{c, "100", kNever}}, {50, 60}, integer(150), {{c, "150", 60}}},
      {"NothingToAdjustTellsTheCounter", {{c, "100", 17}}, {0, 0}, integer(100), {{c, "100", 17}}},
      {"NothingToAdjustMakesNoCounter", {}, {0, 60}, no_counter, {}},
      {"AddsTheLargest", {}, {kLargest, 60}, integer(kLargest), {{c, std::to_string(kLargest), 60}}},
      {"LargerThanTheLargestIsToldAsTwoToThe53",
       {{c, "9223372036854775000", 17}},
       {807, 60},
       integer(kLargest + 1),
       {{c, "9223372036854775807", 17}}},
      {"GivesBackTheLargest", {{c, std::to_string(kLargest), 17}}, {-kLargest, 0}, integer(0), {{c, "0", 17}}},
      {"GivesBackAllButOneOfTheLargest",
       {{c, std::to_string(kLargest), 17}},
       {1 - kLargest, 0},
       integer(1),
       {{c, "1", 17}}},
      {"TextIsNoCounter", {{c, "abc", 17}}, {-30, 0}, not_a_number, {{c, "abc", 17}}},
      {"OverflowChangesNothing",
       {{c, "9223372036854775800", 17}},
       {100, 60},
       overflow,
       {{c, "9223372036854775800", 17}}},

      {"OperationIsRecorded", {{c, "100", 17}}, {-30, 0, 120}, integer(70), {{c, "70", 17}, {r, "1", 120}}, r},
      {"OperationOnAMissingCounterIsRecorded", {}, {-30, 0, 120}, no_counter, {{r, "1", 120}}, r},
      {"OperationThatAdjustsNothingIsRecorded",
       {{c, "100", 17}},
       {0, 0, 120},
       integer(100),
       {{c, "100", 17}, {r, "1", 120}},
       r},
      {"RepetitionChangesNothing",
       {{c, "70", 17}, {r, "1", 33}},
       {-30, 0, 120},
       integer(kAlreadyAdjusted),
       {{c, "70", 17}, {r, "1", 33}},
       r},
      {"RepetitionDoesNotBringACounterBack",
       {{r, "1", 33}},
       {500, 60, 120},
       integer(kAlreadyAdjusted),
       {{r, "1", 33}},
       r},
      {"OverflowIsNotRecorded",
       {{c, "9223372036854775800", 17}},
       {100, 60, 120},
       overflow,
       {{c, "9223372036854775800", 17}},
       r},
      {"FailedOperationIsNotRecorded", {{c, "abc", 17}}, {-30, 0, 120}, not_a_number, {{c, "abc", 17}}, r},
  };
}

inline std::vector<ScriptCase> script_cases() {
  std::vector<ScriptCase> all;
  const auto add = [&all](std::vector<ScriptCase> cases, const Script& script) {
    for (ScriptCase& one : cases) {
      one.script = &script;
      all.push_back(std::move(one));
    }
  };
  add(admit_cases(), kAdmitScript);
  add(adjust_cases(), kAdjustScript);
  return all;
}

inline std::string script_case_name(const ::testing::TestParamInfo<ScriptCase>& info) {
  return (info.param.script == &kAdmitScript ? "Admit" : "Adjust") + info.param.name;
}

}  // namespace tollgate::inline v0::testing
