// Runs a fuzz target without libFuzzer: on each file of the corpus, then on pseudo-random variations of them, the same
// ones every time. Takes libFuzzer's arguments: [-runs=N] [-seed=N] [-max_len=N] <folder or file>…
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <vector>

#include "fuzz/fuzz.hpp"

namespace {

std::string current;

extern "C" void show_input(int signal) {
  std::fputs("the input, in hex: ", stderr);
  for (const char character : current) std::fprintf(stderr, "%02x", static_cast<unsigned char>(character));
  std::fputs("\n", stderr);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run_on(std::string input) {
  current = std::move(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(current.data()), current.size());
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::size_t longest, const std::vector<std::string>& corpus)
      : random_(seed), longest_(longest), corpus_(corpus) {}

  std::string next() {
    std::string input = pick();
    for (std::size_t changes = 1 + below(6); changes > 0; --changes) change(input);
    if (input.size() > longest_) input.resize(longest_);
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  const std::string& pick() { return corpus_[below(corpus_.size())]; }

  void change(std::string& input) {
    const std::size_t at = below(input.size() + 1);
    switch (below(6)) {
      case 0: input.insert(at, 1, static_cast<char>(random_())); return;
      case 1: input.insert(at, 1, "0123456789:/@%?#[]\\*-"[below(21)]); return;
      case 2: input.erase(at, 1 + below(4)); return;
      case 3: input.insert(at, input, below(input.size() + 1), 1 + below(16)); return;
      case 4: {
        const std::string& other = pick();
        input.replace(at, std::string::npos, other, below(other.size() + 1), std::string::npos);
        return;
      }
      default:
        if (at < input.size()) input[at] = static_cast<char>(static_cast<unsigned char>(input[at]) ^ (1U << below(8)));
    }
  }

  std::mt19937_64 random_;
  std::size_t longest_;
  const std::vector<std::string>& corpus_;
};

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t runs = 10'000;
  std::uint64_t seed = 1;
  std::size_t longest = 4096;
  std::vector<std::string> corpus;
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    const auto number_behind = [&](std::string_view name) { return std::stoull(argument.substr(name.size())); };
    if (argument.starts_with("-runs=")) {
      runs = number_behind("-runs=");
    } else if (argument.starts_with("-seed=")) {
      seed = number_behind("-seed=");
    } else if (argument.starts_with("-max_len=")) {
      longest = number_behind("-max_len=");
    } else if (std::filesystem::is_directory(argument)) {
      std::vector<std::filesystem::path> files{std::filesystem::directory_iterator{argument}, {}};
      std::sort(files.begin(), files.end());  // the folder's own order is not the same everywhere
      for (const auto& file : files) corpus.push_back(read(file));
    } else {
      corpus.push_back(read(argument));
    }
  }
  if (corpus.empty()) corpus.emplace_back();

  std::signal(SIGABRT, show_input);
  std::signal(SIGSEGV, show_input);
  for (const std::string& input : corpus) run_on(input);
  Mutator mutator{seed, longest, corpus};
  for (std::uint64_t i = 0; i < runs; ++i) run_on(mutator.next());
  std::cout << corpus.size() << " inputs of the corpus and " << runs << " variations, seed " << seed << '\n';
}
