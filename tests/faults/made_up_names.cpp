#include "faults/made_up_names.hpp"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>

#include <string>
#include <thread>

namespace {

using GetAddrInfo = int (*)(const char*, const char*, const addrinfo*, addrinfo**);

int numeric_loopback(GetAddrInfo real, const char* service, addrinfo** found) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  return real("127.0.0.1", service, &hints, found);
}

}  // namespace

// The program's getaddrinfo() is linked before the C library's, to which it passes every other name.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
  static const auto real = reinterpret_cast<GetAddrInfo>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const std::string host = name != nullptr ? name : "";
  const bool looked_up = hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) == 0;
  if (looked_up && host == tollgate::tests::kSlowName) {
    std::this_thread::sleep_for(tollgate::tests::kSlowNameTakes);
    return numeric_loopback(real, service, found);
  }
  const std::string dead_first{tollgate::tests::kDeadFirstName};
  if (looked_up && host.starts_with(dead_first)) {
    addrinfo* resolved = nullptr;
    const int status = numeric_loopback(real, service, &resolved);
    if (status != 0) return status;
    if (const int other = numeric_loopback(real, host.substr(dead_first.size()).c_str(), found); other != 0) {
      ::freeaddrinfo(resolved);
      return other;
    }
    (*found)->ai_next = resolved;
    return 0;
  }
  return real(name, service, hints, found);
}
