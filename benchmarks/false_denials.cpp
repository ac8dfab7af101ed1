// Bug B's experiment as a table: the share of 2000 one-token requests that are denied although they fit, while 16
// processes loop on a request that never fits. Usage: false_denials [rounds]      (default 3)
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "integration/false_denials.hpp"

using tollgate::tests::count_false_denials;
using tollgate::tests::FalseDenials;
using tollgate::tests::Loopers;

int main(int argc, char** argv) try {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 3;
  struct Row {
    const char* name;
    Loopers loopers;
  };
  const std::string info = tollgate::testing::RedisServer{}.command({"INFO", "server"}).text();
  const auto version = info.find("redis_version:");
  fmt::print("{}, {} rounds\n", info.substr(version, info.find('\r', version) - version), rounds);
  fmt::print("{:42} {:>28} {:>14}\n", "16 loopers", "falsely denied (min … max)", "loops");
  for (const Row row :
       {Row{"kPipelined, deny memory on (the default)", Loopers::kRemembering},
        Row{"kPipelined, deny memory off", Loopers::kForgetting},
        Row{"plain INCRBY/EXPIRE, DECRBY when over", Loopers::kPlain}, Row{"all kAtomic", Loopers::kAtomic}}) {
    std::vector<FalseDenials> results;
    results.reserve(static_cast<std::size_t>(rounds));
    for (int i = 0; i < rounds; ++i) results.push_back(count_false_denials(row.loopers));
    std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) { return a.denied < b.denied; });
    const auto percent = [](const FalseDenials& r) { return 100.0 * r.denied / FalseDenials::kRequests; };
    fmt::print("{:42} {:>10.2f} % ({:.2f} … {:.2f}) {:>14}\n", row.name, percent(results[results.size() / 2]),
               percent(results.front()), percent(results.back()), results[results.size() / 2].loops);
  }
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
