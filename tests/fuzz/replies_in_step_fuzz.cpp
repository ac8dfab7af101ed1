// The queue of exchanges with a falsified stream of replies: whichever replies are lost, doubled, swapped or added, a
// call that is answered gets its own reply, or an error. For pipelined charges this is checked only for one reply lost
// or added among counters that EXPIRE cannot return, because more cannot be detected.
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "decisions/window.hpp"
#include "fuzz/fuzz.hpp"
#include "transport/exchange_queue.hpp"
#include "transport/expected_reply.hpp"
#include "values/scripts.hpp"

namespace tollgate::fuzz {
namespace {

constexpr std::int64_t kLeastCounter = 2;

/// One call and the replies of Redis to it; every counter differs.
struct Call {
  CommandBatch batch;
  Serial serial = 0;
  std::vector<Reply> answers;  // as on the wire
  Reply answer;                // what its caller is to be given for the first command
  ExchangeQueue::Handle exchange;
};

Call make_call(ExchangeQueue& queue, bool pipelined, std::int64_t counter, std::size_t scripts) {
  Call call;
  if (pipelined) {
    call.batch.incr_by("k", 1);
    call.batch.expire("k", decisions::kCounterTtl);
  } else {
    for (std::size_t i = 0; i < scripts; ++i) call.batch.run(kAdjustScript, "k", {1, 60});
  }
  call.serial = queue.take_serial(call.batch);
  for (std::size_t i = 0; i < call.batch.size() && !pipelined; ++i) {
    call.answers.push_back(Reply::string(std::to_string(counter) + ' ' + std::to_string(serial_of(call.serial, i))));
  }
  if (pipelined) call.answers = {Reply::integer(counter), Reply::integer(1)};
  call.answer = Reply::integer(counter);
  return call;
}

Reply invent(Input& input) {
  switch (input.byte() % 6) {
    case 0: return Reply{};
    case 1: return Reply::status("OK");
    case 2: return Reply::string(input.text() + "x");  // no serial number
    case 3: return Reply::array({Reply::string("0"), Reply::array({})});
    case 4: return Reply::error("ERR " + input.text());
    default: return Reply::integer(input.byte() % 3);
  }
}

void falsify(Input& input, std::vector<Reply>& stream, bool pipelined) {
  const std::size_t at = input.byte() % stream.size();
  const std::size_t other = input.byte() % stream.size();
  const auto place = stream.begin() + static_cast<std::ptrdiff_t>(at);
  switch (input.byte() % (pipelined ? 2 : 5)) {
    case 0: stream.erase(place); break;
    case 1: stream.insert(place, invent(input)); break;
    case 2: stream.insert(place, Reply{stream[other]}); break;
    case 3: std::swap(stream[at], stream[other]); break;
    default: stream[at] = invent(input);
  }
}

void run(Input& input) {
  const bool pipelined = input.byte() % 2 == 0;
  ExchangeQueue queue{static_cast<Serial>(input.integer())};
  std::vector<Call> calls;
  for (std::int64_t count = 1 + input.byte() % 8; count > 0; --count) {
    calls.push_back(make_call(queue, pipelined, kLeastCounter + count, 1U + input.byte() % 3U));
  }
  std::vector<Reply> stream;
  for (Call& call : calls) {
    call.exchange = queue.add_call(call.batch, call.serial, "x", nullptr).value();
    stream.insert(stream.end(), call.answers.begin(), call.answers.end());
  }
  std::string bytes;
  FinishedExchanges finished;
  queue.take_pending({}, bytes, finished);

  const bool falsified = !input.empty();
  for (int edits = 0; !input.empty() && !stream.empty() && edits < (pipelined ? 1 : 8); ++edits) {
    falsify(input, stream, pipelined);
  }
  for (Reply& reply : stream) {
    if (queue.deliver(std::move(reply), finished) == ExchangeQueue::Delivery::kTaken) continue;
    require(falsified, "what Redis says is in step");
    queue.fail_in_flight({Errc::kProtocol, true}, finished);
    break;
  }
  for (const Call& call : calls) {
    const Exchange& exchange = *call.exchange;
    if (!exchange.done()) {
      require(falsified, "every call is answered");
      continue;
    }
    const BatchResult& result = exchange.result;
    require(result.ok() || (result.failure.may_have_executed && result.replies.empty()), "an answer, or doubt");
    bool is_error = false;
    for (std::size_t i = 0; i < result.replies.size(); ++i) is_error = is_error || result.replies[i].is_error();
    for (std::size_t i = 0; i < result.replies.size() && !is_error; ++i) {
      const bool own = result.replies[i] == call.answer || (pipelined && i == 1);
      require(own, "each caller is given its own answer");
    }
  }
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::Input input{data, size};
  tollgate::fuzz::run(input);
  return 0;
}
