// A TlsStream with a writer and a reader at once, against a server that changes its keys and sends session tickets in
// the middle of what it says.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tls_peer.hpp"
#include "transport/open_socket.hpp"
#include "transport/tls_context.hpp"
#include "transport/tls_stream.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// A socket that listens on a free loopback port.
class Listener {
 public:
  Listener() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address_;
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address_), length), 0);
    EXPECT_EQ(::listen(descriptor_, 1), 0);
    EXPECT_EQ(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address_), &length), 0);
  }
  ~Listener() { ::close(descriptor_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] int accept() const { return ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC); }
  [[nodiscard]] std::unique_ptr<OpenSocket> connect() const {
    auto socket = std::make_unique<OpenSocket>(AF_INET, SOCK_STREAM);
    EXPECT_EQ(::connect(socket->descriptor(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0);
    return socket;
  }

 private:
  int descriptor_;
  sockaddr_in address_{};
};

/// Repeats what it hears until the client ends; now and then it asks for new keys and sends a ticket.
void repeat(const openssl::Ssl& ssl, int descriptor) {
  SSL_set_fd(ssl.get(), descriptor);
  std::array<char, 5000> bytes{};
  for (int round = 1;; ++round) {
    const int heard = SSL_read(ssl.get(), bytes.data(), bytes.size());
    if (heard <= 0 || SSL_write(ssl.get(), bytes.data(), heard) != heard) break;
    if (round % 20 == 0) SSL_key_update(ssl.get(), SSL_KEY_UPDATE_REQUESTED);
    if (round % 50 == 0) SSL_new_session_ticket(ssl.get());
  }
  ERR_clear_error();
  ::close(descriptor);
}

class TlsStreamTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<TlsStream> connect() {
    auto stream = std::make_unique<TlsStream>(listener_.connect(), context_.open().engine);
    auto progress = TlsStream::Progress::kPending;
    while ((progress = stream->handshake()) == TlsStream::Progress::kPending) {
      EXPECT_TRUE(stream->wait(Clock::now() + 10s, false));
    }
    EXPECT_EQ(progress, TlsStream::Progress::kDone) << stream->failure().detail;
    return stream;
  }

  testing::TlsCertificates certificates_;
  TlsPeerContext server_{certificates_.server()};
  TlsContext context_{{.ca_file = certificates_.ca_file()}, "localhost"};
  Listener listener_;
};

TEST_F(TlsStreamTest, AWriterAndAReaderAtOnceDoNotDisturbEachOtherNorKeyUpdates) {
  std::thread server{[this] { repeat(server_.new_connection(), listener_.accept()); }};
  const auto stream = connect();
  std::string sent;
  for (int i = 0; sent.size() < 3'000'000; ++i) sent += "line " + std::to_string(i) + "\r\n";

  std::thread writer{[&] {
    std::string_view rest = sent;
    while (!rest.empty()) {
      const auto result = stream->send(rest.substr(0, 3'000));
      if (result.status == ByteStream::Status::kAgain) {
        ASSERT_TRUE(stream->wait(Clock::now() + 30s, true));
      } else {
        ASSERT_EQ(result.status, ByteStream::Status::kOk);
        rest.remove_prefix(result.count);
      }
    }
  }};
  std::string received;
  std::array<char, 16'384> room{};
  const auto deadline = Clock::now() + 60s;
  while (received.size() < sent.size() && Clock::now() < deadline) {
    const auto result = stream->receive(room, true);
    if (result.status == ByteStream::Status::kOk) received.append(room.data(), result.count);
    if (result.status != ByteStream::Status::kOk && result.status != ByteStream::Status::kAgain) break;
  }
  writer.join();
  EXPECT_TRUE(received == sent) << received.size() << " of " << sent.size() << ": " << stream->failure().detail;
  stream->shut_down();
  server.join();
}

TEST_F(TlsStreamTest, BytesThatThePeerDoesNotTakeAreRefusedAndNothingIsLost) {
  std::string heard;
  std::atomic<bool> may_read{false};
  std::thread server{[&] {
    const int descriptor = listener_.accept();
    const openssl::Ssl ssl = server_.new_connection();
    SSL_set_fd(ssl.get(), descriptor);
    SSL_do_handshake(ssl.get());
    while (!may_read) std::this_thread::sleep_for(1ms);
    std::array<char, 16'384> bytes{};
    for (int count = 0; (count = SSL_read(ssl.get(), bytes.data(), bytes.size())) > 0;) {
      heard.append(bytes.data(), static_cast<std::size_t>(count));
    }
    ERR_clear_error();
    ::close(descriptor);
  }};
  const auto stream = connect();
  const std::string chunk(16'384, 'x');
  std::size_t taken = 0;
  auto result = stream->send(chunk);
  for (; result.status == ByteStream::Status::kOk && taken < 100'000'000; result = stream->send(chunk)) {
    taken += result.count;
  }
  EXPECT_EQ(result.status, ByteStream::Status::kAgain);
  EXPECT_TRUE(stream->is_sending());
  may_read = true;
  // The rest of the last record leaves when the stream is read: no send() follows.
  std::array<char, 100> room{};
  for (const auto end = Clock::now() + 10s; stream->is_sending() && Clock::now() < end;) {
    static_cast<void>(stream->receive(room, true));
  }
  stream->shut_down();
  server.join();
  EXPECT_EQ(heard.size(), taken);
}

TEST_F(TlsStreamTest, ShuttingDownEndsTheWaitOfAnotherThread) {
  std::thread server{[this] { repeat(server_.new_connection(), listener_.accept()); }};
  const auto stream = connect();
  std::thread reader{[&] {
    std::array<char, 100> room{};
    const auto deadline = Clock::now() + 20s;
    while (Clock::now() < deadline) {
      static_cast<void>(stream->wait(deadline, false));
      if (stream->receive(room, false).status == ByteStream::Status::kClosed) return;
    }
    ADD_FAILURE() << "not ended";
  }};
  std::this_thread::sleep_for(20ms);
  stream->shut_down();
  reader.join();
  server.join();
}

}  // namespace
}  // namespace tollgate::tests
