// The faults of the network between the load of the fault suite and its server.

#include <string>
#include <vector>

#include "faults/fault_scene.hpp"
#include "tollgate/connect.hpp"

namespace tollgate::tests {
namespace {

using Clock = std::chrono::steady_clock;

// ---- the network --------------------------------------------------------------------------------------------------

void delay(Scene& scene) {
  scene.begin_through_gate();
  scene.gate().delay(40ms);
  scene.lasts(800ms);
  scene.gate().delay(0ms);
  scene.recovers();
}

/// Held back and then delivered; held back and then lost.
void swallow(Scene& scene, void (TcpGate::*pass)(bool)) {
  scene.begin_through_gate();
  for (const bool lost : {false, true}) {
    (scene.gate().*pass)(false);
    scene.lasts(500ms);
    if (lost) scene.gate().cut();
    (scene.gate().*pass)(true);
    scene.recovers();
  }
}

void lose_requests(Scene& scene) { swallow(scene, &TcpGate::pass_requests); }
void lose_replies(Scene& scene) { swallow(scene, &TcpGate::pass_replies); }

void drop_replies_after_the_commit(Scene& scene) {
  scene.begin_through_gate();
  scene.every(30ms, 30, [&] { scene.gate().cut_after_reply_bytes(0); });
  scene.recovers();
}

void send_single_bytes(Scene& scene) {
  scene.begin_through_gate();
  scene.gate().fragment(1, 0us);
  scene.lasts(1s);
  scene.gate().fragment(0);
  scene.recovers();
}

void insert(Scene& scene, const std::string& bytes) {
  scene.begin_through_gate();
  scene.every(40ms, 20, [&] { scene.gate().insert_into_replies(bytes); });
  scene.recovers();
}

void send_garbage(Scene& scene) { insert(scene, "HTTP/1.1 400 Bad Request\r\n\r\n"); }

void announce_too_much(Scene& scene) {
  insert(scene, "*1000000000\r\n");
  scene.gate().insert_into_replies("$500000000\r\n");
  scene.lasts(300ms);
  scene.gate().cut();  // until then it is only a slow reply
  scene.recovers();
}

/// Calls through the gate, one after the other, each of them disturbed, while the load goes to the server directly.
class Disturbed {
 public:
  Disturbed(Scene& scene, Admission admission, int user)
      : scene_(scene),
        admission_(admission),
        user_(user),
        client_(connect(scene.gate().url(), {.connect_timeout = 5s, .command_timeout = 5s})),
        limiter_(client_, FaultLoad::config(admission, 0ms)),
        caller_(scene.account(), limiter_, 0) {
    EXPECT_TRUE(caller_.consume(user_, kBudget - 400));  // connected; the server has loaded the script
  }
  ~Disturbed() {
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
    scene_.account().undelivered += static_cast<std::int64_t>(limiter_.undelivered().tokens);
  }
  Disturbed(const Disturbed&) = delete;
  Disturbed& operator=(const Disturbed&) = delete;

  void requests() {
    const std::size_t before = scene_.gate().request_bytes();
    EXPECT_TRUE(caller_.consume(user_, 1));
    const std::size_t length = scene_.gate().request_bytes() - before;
    for (std::size_t offset = 0; offset <= length; ++offset) {
      cut([&] { scene_.gate().cut_after_request_bytes(offset); }, 1);
    }
  }
  void one_reply_more() {
    reconnect();
    const int connections = scene_.gate().connections();
    scene_.gate().say_to_clients(":1\r\n");
    scene_.lasts(20ms);
    EXPECT_FALSE(caller_.consume(user_, kBudget)) << "granted by a reply that belongs to no request";
    EXPECT_FALSE(caller_.in_doubt());
    EXPECT_EQ(scene_.gate().connections(), connections + 1);
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
  }
  void one_reply_less() {
    reconnect();
    scene_.gate().swallow_replies(1);
    EXPECT_FALSE(caller_.consume(user_, 1)) << "granted without a whole reply";
    EXPECT_TRUE(caller_.in_doubt());
    const int cuts = scene_.gate().cuts();
    scene_.gate().cut();
    EXPECT_TRUE(soon([&] { return scene_.gate().cuts() > cuts; }));
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
  }
  void replies(std::int64_t tokens) {
    for (std::size_t offset = 0; offset < length_of_reply(tokens); ++offset) {
      cut([&] { scene_.gate().cut_after_reply_bytes(offset); }, tokens);
    }
  }

 private:
  [[nodiscard]] std::size_t length_of_reply(std::int64_t tokens) {
    const auto counter = scene_.server().command({"GET", FaultLoad::key_of(user_)}).to_integer().value_or(0);
    if (admission_ == Admission::kPipelined) return (":" + std::to_string(counter + tokens) + "\r\n:1\r\n").size();
    const bool fits = counter + tokens <= kBudget;
    return (":" + std::to_string(fits ? counter + tokens : -1 - counter) + "\r\n").size();
  }
  /// On a new connection where there is none, once the circuit breaker allows it.
  void reconnect() {
    EXPECT_TRUE(soon([&] { return limiter_.try_consume(Caller::name_of(user_), 0).source == Source::kRedis; }));
  }
  void cut(const std::function<void()>& prepare, std::int64_t tokens) {
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
    reconnect();
    const int cuts = scene_.gate().cuts();
    prepare();
    EXPECT_FALSE(caller_.consume(user_, tokens)) << "granted without a whole reply";
    EXPECT_TRUE(caller_.in_doubt());
    EXPECT_TRUE(soon([&] { return scene_.gate().cuts() > cuts; }));
  }

  Scene& scene_;
  const Admission admission_;
  const int user_;
  std::shared_ptr<RedisClient> client_;
  RedisRateLimiter limiter_;
  Caller caller_;
};

void call_by_call(Scene& scene, void (*disturb)(Disturbed&)) {
  scene.begin();
  int user = Account::kLoadUsers;
  for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
    Disturbed calls{scene, admission, user++};
    disturb(calls);
  }
  scene.recovers();
}

/// Sent on a connection without a request in flight, because after a request it would be taken for the reply.
void send_one_reply_too_many(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) {
    for (int i = 0; i < 10; ++i) calls.one_reply_more();
  });
}
/// The connection is also cut after the call has given up, because the next call's replies would be taken for the
/// missing ones.
void send_one_reply_too_few(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) {
    for (int i = 0; i < 3; ++i) calls.one_reply_less();
  });
}
void cut_requests(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) { calls.requests(); });
}
void cut_replies(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) {
    calls.replies(1);
    calls.replies(kBudget);  // denied
  });
}

// ---- the gate: out of step under load ----------------------------------------------------------------------------

void send_one_reply_too_many_under_load(Scene& scene) { insert(scene, ":1\r\n"); }

void send_one_reply_too_few_under_load(Scene& scene) {
  scene.begin_through_gate();
  scene.every(100ms, 8, [&] { scene.gate().swallow_replies(1); });
  scene.recovers();
}

/// The first calls after the silence come from several threads at once.
void send_one_reply_too_many_into_silence(Scene& scene) {
  scene.begin_through_gate();
  for (int i = 0; i < 12; ++i) {
    scene.account().idle = true;
    scene.lasts(300ms);  // longer than any call
    scene.gate().say_to_clients(":1\r\n");
    scene.lasts(50ms);
    scene.account().idle = false;
    scene.recovers();
  }
}

}  // namespace

const std::vector<Fault>& network_faults() {
  static const std::vector<Fault> all{
      {"Delayed", "every byte 40 ms late, both ways", false, delay},
      {"RequestsLost", "a black hole for requests", true, lose_requests},
      {"RepliesLost", "a black hole for replies", true, lose_replies},
      {"RequestsCut", "cut after each byte of a request", true, cut_requests},
      {"RepliesCut", "cut after each byte of a reply", true, cut_replies},
      {"SingleBytes", "one byte per segment", false, send_single_bytes},
      {"RepliesDropped", "replies dropped after the commit", true, drop_replies_after_the_commit},
      {"Garbage", "garbage among replies", true, send_garbage},
      {"ReplyTooLarge", "a reply of announced 1'000'000'000 elements, of 500 MB", true, announce_too_much},
      {"OneReplyTooMany", "one reply too many, on a silent connection", false, send_one_reply_too_many},
      {"OneReplyTooFew", "one reply too few, then the connection lost", true, send_one_reply_too_few},
      {"OneReplyTooManyUnderLoad", "one reply too many, under load", false, send_one_reply_too_many_under_load},
      {"OneReplyTooFewUnderLoad", "one reply too few, under load", true, send_one_reply_too_few_under_load},
      {"OneReplyTooManyIntoSilence", "one reply too many, then many calls", false,
       send_one_reply_too_many_into_silence},
  };
  return all;
}

}  // namespace tollgate::tests
