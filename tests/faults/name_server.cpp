#include "faults/name_server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace tollgate::tests {
namespace {

using namespace std::string_view_literals;

struct Question {
  sockaddr_in from;
  std::string bytes;
};

/// RFC 1035, section 4: a header of 12 bytes, the name, its type and its class; the reply repeats them.
std::string reply_to(const Question& question) {
  constexpr std::size_t kHeader = 12;
  const std::size_t end_of_name = question.bytes.find('\0', kHeader);
  const bool wants_ipv4 = question.bytes.substr(end_of_name + 1, 2) == "\x00\x01"sv;
  std::string reply = question.bytes.substr(0, 2);
  reply += "\x81\x80\x00\x01"sv;  // a reply without error, to one question
  reply += wants_ipv4 ? "\x00\x01\x00\x00\x00\x00"sv : "\x00\x00\x00\x00\x00\x00"sv;
  reply += question.bytes.substr(kHeader, end_of_name + 5 - kHeader);
  // The name as a pointer to the question's, type A, class IN, to be kept for 0 s, 4 bytes.
  if (wants_ipv4) reply += "\xC0\x0C\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7F\x00\x00\x01"sv;
  return reply;
}

int open_socket() {
  const int descriptor = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  address.sin_port = ::htons(53);
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::system_error{errno, std::generic_category(), "bind to 127.0.0.1:53"};
  }
  return descriptor;
}

}  // namespace

NameServer::NameServer() : socket_(open_socket()), thread_([this] { serve(); }) {}

NameServer::~NameServer() {
  ends_ = true;
  thread_.join();
  ::close(socket_);
}

void NameServer::serve() {
  std::vector<Question> open;
  while (!ends_) {
    pollfd entry{socket_, POLLIN, 0};
    if (::poll(&entry, 1, 5) > 0) {
      std::array<char, 512> buffer{};
      Question question{};
      socklen_t length = sizeof question.from;
      const ssize_t count = ::recvfrom(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT,
                                       reinterpret_cast<sockaddr*>(&question.from), &length);
      if (count <= 0) continue;
      question.bytes.assign(buffer.data(), static_cast<std::size_t>(count));
      open.push_back(std::move(question));
      ++questions_;
    }
    if (!answers_) continue;
    for (const Question& question : open) {
      const std::string reply = reply_to(question);
      ::sendto(socket_, reply.data(), reply.size(), 0, reinterpret_cast<const sockaddr*>(&question.from),
               sizeof question.from);
    }
    open.clear();
  }
}

}  // namespace tollgate::tests
