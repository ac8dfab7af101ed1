// The program in the README is the example that is compiled, and it does on a real redis-server what the README says;
// so do the other examples.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "decisions/window.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

namespace fs = std::filesystem;
using testing::RedisServer;

std::string read(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>{file}, {}};
}

fs::path source_directory() { return fs::path{__FILE__}.parent_path().parent_path().parent_path(); }

/// The text of the first code block in `language`.
std::string first_block(std::string_view markdown, std::string_view language) {
  const std::string opening = std::string{"```"}.append(language).append("\n");
  const std::size_t begin = markdown.find(opening);
  if (begin == std::string_view::npos) throw std::runtime_error("there is no block of " + std::string{language});
  const std::size_t text = begin + opening.size();
  return std::string{markdown.substr(text, markdown.find("```", text) - text)};
}

/// Built into the directory `examples` of the build that this test belongs to.
fs::path example(const std::string& name) {
  for (fs::path folder = fs::read_symlink("/proc/self/exe").parent_path(); folder != folder.root_path();
       folder = folder.parent_path()) {
    if (fs::exists(folder / "examples" / name)) return folder / "examples" / name;
  }
  throw std::runtime_error("examples/" + name + " was not built");
}

struct Finished {
  std::string output;
  int status = 0;
  std::int64_t minute = 0;  // that it ran in
};

Finished run(const std::string& name, const std::string& arguments) {
  std::string line = "'";
  line.append(example(name)).append("' ").append(arguments).append(" 2>&1");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe{::popen(line.c_str(), "r"), ::pclose};
  if (!pipe) throw std::runtime_error("cannot run " + line);
  std::string output;
  for (int character = 0; (character = std::fgetc(pipe.get())) != EOF;) output += static_cast<char>(character);
  return {output, ::pclose(pipe.release())};
}

/// Runs an example on an empty server, again when the minute changed meanwhile.
Finished run_within_a_minute(const std::string& name, const RedisServer& server) {
  const auto minute = [] { return decisions::unix_minute(std::chrono::system_clock::now()); };
  Finished finished;
  do {
    server.command({"FLUSHALL"});
    const std::int64_t before = minute();
    finished = run(name, server.url());
    finished.minute = before;
  } while (finished.minute != minute());
  return finished;
}

TEST(Readme, ShowsTheProgramThatIsCompiled) {
  const std::string readme = read(source_directory() / "README.md");
  EXPECT_EQ(first_block(readme, "cpp"), read(source_directory() / "examples/readme_program.cpp"));
}

TEST(Readme, ProgramPrintsOnRealRedisWhatTheReadmeSays) {
  RedisServer server;
  const Finished program = run_within_a_minute("readme_program", server);
  EXPECT_EQ(program.output, first_block(read(source_directory() / "README.md"), "text"));
  EXPECT_EQ(program.status, 0);
  const std::string key = "ractogateway:ratelimit:user_42:" + std::to_string(program.minute);
  EXPECT_EQ(server.command({"GET", key}), Reply::string("3600")) << "900 and 2700 were used";
  EXPECT_THAT(server.keys_without_ttl(), ::testing::IsEmpty());
}

TEST(Readme, ProgramSaysWhatIsWrongWhenRedisCannotBeAsked) {
  RedisServer server;
  const std::string url = server.url();
  server.stop();
  const Finished program = run("readme_program", url);
  EXPECT_THAT(program.output, ::testing::HasSubstr("no connection to Redis"));
  EXPECT_NE(program.status, 0);
}

struct Example {
  const char* name;
  const char* output;
};

class Examples : public ::testing::TestWithParam<Example> {};

INSTANTIATE_TEST_SUITE_P(On, Examples,
                         ::testing::Values(Example{"reserve_and_settle",
                                                   "hello: 500 reserved, 350 used\n"
                                                   "crash: the model is overloaded\n"
                                                   "a short one: 100 reserved, 350 used\n"
                                                   "a long one: denied\n"
                                                   "300 left\n"},
                                           Example{"streamed_answer",
                                                   "450 tokens\n"
                                                   "200 tokens, cut off\n"
                                                   "denied\n"
                                                   "150 left\n"},
                                           Example{"settle_in_another_process",
                                                   "reserved: 300 left\n"
                                                   "settled by the worker: 880 left\n"},
                                           Example{"several_limits",
                                                   "key_1: 20000 tokens\n"
                                                   "key_1: refused by key-tokens, it never fits\n"
                                                   "key_1: refused by key-tokens, later it fits\n"
                                                   "key_2: 12000 tokens\n"
                                                   "1968000 left for the team\n"},
                                           Example{"consume_many",
                                                   "alice, 700 tokens: allowed, 300 left\n"
                                                   "bob, 1500 tokens: denied for good\n"
                                                   "alice, 400 tokens: denied until the minute ends\n"
                                                   "alice, 300 tokens: allowed, 0 left\n"},
                                           Example{"atomic_admission",
                                                   "request-1: allowed, 400 left\n"
                                                   "request-2: denied, 400 left\n"
                                                   "request-3: allowed, 0 left\n"
                                                   "request-1 again: allowed, 400 left\n"
                                                   "0 left\n"}),
                         [](const auto& example) { return std::string{example.param.name}; });

TEST_P(Examples, DoOnRealRedisWhatTheySay) {
  RedisServer server;
  const Finished program = run_within_a_minute(GetParam().name, server);
  EXPECT_EQ(program.output, GetParam().output);
  EXPECT_EQ(program.status, 0);
  EXPECT_THAT(server.keys_without_ttl(), ::testing::IsEmpty());
}

TEST(HttpResponses, AreThoseOfThreeDialects) {
  RedisServer server;
  const Finished program = run_within_a_minute("http_responses", server);
  EXPECT_THAT(program.output, ::testing::MatchesRegex("HTTP 200\n"
                                                      "x-ratelimit-limit-tokens: 1000\n"
                                                      "x-ratelimit-remaining-tokens: 400\n"
                                                      "x-ratelimit-reset-tokens: [0-9.ms]+\n"
                                                      "\n"
                                                      "HTTP 429\n"
                                                      "ratelimit-policy: \"tokens-per-minute\";q=1000;w=60\n"
                                                      "ratelimit: \"tokens-per-minute\";r=400;t=[0-9]+\n"
                                                      "retry-after: [0-9]+\n"
                                                      ".*\"violated-policies\":.\"tokens-per-minute\".*\n"
                                                      "HTTP 429\n"
                                                      "anthropic-ratelimit-tokens-limit: 1000\n"
                                                      "anthropic-ratelimit-tokens-reset: [0-9-]+T[0-9:]+Z\n"
                                                      "x-should-retry: false\n"
                                                      ".*quota-exceeded.*\n"));
  EXPECT_EQ(program.status, 0);
}

TEST(ObservedLimiter, ReportsAndCountsTheUsesOfItsCallers) {
  RedisServer server;
  const Finished program = run_within_a_minute("observed_limiter", server);
  EXPECT_THAT(program.output, ::testing::StartsWith("event: connected\n"
                                                    "event: reservation dropped, 200 tokens\n"
                                                    "tollgate_allowed_total{by=\"redis\"} 3\n"));
  EXPECT_THAT(program.output, ::testing::HasSubstr("tollgate_reservations_dropped_total 2\n"
                                                   "tollgate_answered_calls_total 4\n"));
  EXPECT_EQ(program.status, 0);
}

TEST(ObservedLimiter, ReportsAndCountsAnOutage) {
  RedisServer server;
  const std::string url = server.url();
  server.stop();
  const Finished program = run("observed_limiter", url);
  EXPECT_THAT(program.output, ::testing::HasSubstr("event: fallback entered: no connection to Redis\n"));
  EXPECT_THAT(program.output, ::testing::HasSubstr("tollgate_denied_total{by=\"policy\"} 4\n"));
  EXPECT_EQ(program.status, 0);
}

TEST(Demo, CountsOnRealRedisWithoutAFailure) {
  RedisServer server;
  const Finished demo = run("demo", "--seconds 1 " + server.url());
  EXPECT_THAT(demo.output, ::testing::HasSubstr(", 0 failed"));
  EXPECT_EQ(demo.status, 0);
  EXPECT_THAT(server.keys_without_ttl(), ::testing::IsEmpty());
}

TEST(Demo, CountsFailuresAndContinuesWhenRedisIsDown) {
  RedisServer server;
  const std::string url = server.url();
  server.stop();
  const Finished demo = run("demo", "--seconds 1 " + url);
  EXPECT_THAT(demo.output, ::testing::HasSubstr("failed; the last: no connection to Redis"));
  EXPECT_NE(demo.status, 0);
}

}  // namespace
}  // namespace tollgate
