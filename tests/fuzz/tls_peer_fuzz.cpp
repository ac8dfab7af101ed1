// What a hostile TLS server sends: the bytes of a real handshake and of records, changed anywhere, in any pieces. The
// client ends with a failure, or waits for more; it reads nothing that the server has not said.
#include <array>
#include <memory>
#include <string>

#include "fuzz/fuzz.hpp"
#include "tls_peer.hpp"
#include "transport/tls_context.hpp"

namespace tollgate::fuzz {
namespace {

using Status = TlsEngine::Status;

constexpr std::string_view kReply = ":10\r\n:1\r\n";

struct World {
  testing::TlsCertificates certificates;
  tests::TlsPeerContext old_server{certificates.server(), TLS1_2_VERSION};
  tests::TlsPeerContext new_server{certificates.server(), TLS1_3_VERSION};
  TlsContext client{{.ca_file = certificates.ca_file()}, "localhost"};
};

/// Changes `bytes` as the input says.
void damage(std::string& bytes, Input& input) {
  const std::size_t at = bytes.empty() ? 0 : static_cast<std::size_t>(input.integer() & INT32_MAX) % bytes.size();
  switch (input.byte() % 6) {
    case 0: return;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ input.byte());
      return;
    case 2: bytes.insert(at, input.text()); return;
    case 3: bytes.erase(at, input.byte()); return;
    case 4: bytes.insert(at, bytes.substr(at)); return;
    default: bytes.resize(at); return;
  }
}

/// Feeds `bytes` in pieces, and returns what the client read.
std::string deliver(TlsEngine& client, std::string_view bytes, std::size_t piece) {
  std::string heard;
  std::array<char, 64> room{};
  do {
    const std::string_view head = bytes.substr(0, piece);
    bytes.remove_prefix(head.size());
    client.feed(head);
    if (client.handshake() != Status::kOk) continue;
    for (;;) {
      const auto result = client.read(room);
      if (result.status != Status::kOk) break;
      heard.append(room.data(), result.count);
    }
  } while (!bytes.empty());
  return heard;
}

void run(const std::uint8_t* data, std::size_t size) {
  static World world;
  Input input{data, size};
  const std::uint8_t choices = input.byte();
  const std::size_t piece = (choices & 2U) != 0 ? 1U + input.byte() : 100'000;
  const bool says_anything = (choices & 4U) != 0;

  const auto client = world.client.open().engine;
  tests::TlsPeer server{(choices & 1U) != 0 ? world.old_server : world.new_server};
  static_cast<void>(client->handshake());
  std::string heard;
  if (says_anything) {
    heard = deliver(*client, input.rest(), piece);
    require(heard.empty(), "what is not encrypted is not read");
  } else {
    bool has_spoken = false;
    for (int turn = 0; turn < 6; ++turn) {
      server.take(*client);
      if (SSL_is_init_finished(server.ssl()) != 0 && !has_spoken) {
        server.say(kReply);
        has_spoken = true;
      }
      std::string bytes = server.output();
      if (!input.empty()) damage(bytes, input);
      heard += deliver(*client, bytes, piece);
    }
  }
  require(kReply.starts_with(heard), "only what the server said is read");
  const bool failed = client->handshake() == Status::kFailed;
  require(failed == static_cast<bool>(client->failure().code), "a failure has a reason");
  const openssl::ErrorScope errors;
  require(ERR_peek_error() == 0, "no error is left in the thread's queue");
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::run(data, size);
  return 0;
}
