// Heads of drawn models, from which the fuzzers of the reader begin: `fuzz_seeds FOLDER COUNT`. They are made when they
// are needed, since the format goes on changing.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/drawn_model.h"
#include "tests/support/kiln_writer.h"

using namespace kiln::testing;

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "fuzz_seeds FOLDER COUNT\n"), 2;
  for (int seed = 0; seed < std::atoi(argv[2]); ++seed) {
    const auto bytes = bytes_of_seed(static_cast<uint64_t>(seed), 200);
    Choices choices(bytes.data(), bytes.size());
    const auto head = write_head(draw_model(choices, {seed % 2 == 1, 1 + seed % 6}));
    std::FILE* file = std::fopen((std::string(argv[1]) + "/drawn-" + std::to_string(seed)).c_str(), "wb");
    if (!file || std::fwrite(head.data(), 1, head.size(), file) != head.size() || std::fclose(file)) return 1;
  }
  return 0;
}
