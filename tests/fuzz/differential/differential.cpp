// Random models, each compiled for several targets and run, against the definitions in double precision:
//
//   kiln_differential FIRST COUNT [SECONDS]   models of these seeds, two targets each in turn, for as long
//   kiln_differential --bytes HEX             one model on all targets, as a failure was shown
//
// Natively: the reference interpreter, what the CPU has, NEON by emulation. As WebAssembly under Node: the interpreter
// and the engine, with and without relaxed SIMD, on whatever processor Node runs or is emulated. A failure is shrunk,
// shown and counted; the program ends with 1.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "ir/optimize.h"
#include "ir/passes/passes.h"
#include "tests/support/drawn_model.h"
#include "tests/support/graph_interpreter.h"
#include "tests/support/laid_out_model.h"

using namespace kiln;
using namespace kiln::testing;

namespace {

using Bytes = std::vector<uint8_t>;
constexpr size_t kBytes = 160;

/// Beyond this a float32 and a double go different ways (a cast of what no integer holds, an overflow on the way), and
/// whole numbers in doubles are none: nothing is compared there.
constexpr double kWild = 1e9, kWildWhole = 0x1p50;

struct Mode {
  Precision precision;
  double tolerance;  ///< of an output's largest element; docs/precision.md has what was measured
};
/// A model here has up to 8 nodes, each with a rounding of its own: ten times what docs/precision.md says of one.
const Mode kModes[] = {{Precision::balanced, 1e-4}, {Precision::exact, 1e-5}, {Precision::fast, 1e-3}};

bool multiplies(Op op) { return op == Op::conv || op == Op::matmul || op == Op::attention; }

double largest(const Array& a) {
  double most = 0;
  for (const double v : a.data)
    if (std::isfinite(v)) most = std::max(most, std::fabs(v));
  return most;
}

/// What is right, and how far from it an implementation may be that rounds each intermediate result: as far as results
/// come apart when all numbers are disturbed by a little.
struct Expectation {
  std::vector<Array> right;
  std::vector<std::vector<double>> slack;  ///< of each element
  bool wild = false;
};

Result<Expectation> expect(const Graph& graph, const Bindings& bindings, const Mode& mode, uint32_t seed) {
  constexpr double kFactor = 8;  // what two rounds may miss
  Expectation out;
  KILN_ASSIGN(out.right, interpret(graph, bindings, [&](const Node&, Array& a) {
                const double limit = a.dtype == DType::f32 ? kWild : kWildWhole;
                for (double& v : a.data) {
                  if (a.dtype == DType::f32) v = static_cast<double>(static_cast<float>(v));
                  out.wild = out.wild || std::fabs(v) > limit;
                }
              }));
  for (const Array& a : out.right) out.slack.emplace_back(a.data.size(), 0.0);
  if (out.wild) return out;
  const double noise = mode.tolerance / 32;
  Random random(seed);
  std::uniform_real_distribution<double> unit(-1, 1);
  double sign = 1;
  // Of sums of products each element may be off by a part of the largest; of others by less, which stands for what
  // cancels within an expression.
  const auto disturb = [&](Array& a, bool as_a_whole) {
    if (a.dtype != DType::f32) return;
    const double floor = largest(a) * (as_a_whole ? 1 : 0.1);
    for (double& v : a.data) v += (std::fabs(v) + floor) * noise * sign * unit(random);
  };
  constexpr uint32_t kDraws = 4;  // one says little of an element: by chance it cancels there
  for (uint32_t turn = 0; turn < 2 * kDraws; ++turn) {
    sign = turn % 2 ? -1 : 1;  // the same the other way: who is at an edge falls over it once
    random.seed(seed + turn / 2), unit.reset();
    Bindings disturbed = bindings;
    for (Array& a : disturbed.inputs) disturb(a, false);
    for (auto& [segment, a] : disturbed.weights) disturb(a, false);
    KILN_ASSIGN(const auto other,
                interpret(graph, disturbed, [&](const Node& node, Array& a) { disturb(a, multiplies(node.op)); }));
    for (size_t i = 0; i < other.size(); ++i)
      for (size_t j = 0; j < other[i].data.size(); ++j) {
        const double a = other[i].data[j], b = out.right[i].data[j];
        const double apart = a == b || (std::isnan(a) && std::isnan(b)) ? 0 : std::fabs(a - b);
        double& slack = out.slack[i][j];
        slack = std::isnan(apart) ? INFINITY : std::max(slack, kFactor * apart);
      }
  }
  return out;
}

std::string compare(const std::vector<Array>& got, const Expectation& expected, const Mode& mode) {
  if (got.size() != expected.right.size()) return "another number of outputs";
  for (size_t i = 0; i < got.size(); ++i) {
    const Array& right = expected.right[i];
    if (got[i].shape != right.shape || got[i].dtype != right.dtype) return "another type of output";
    if (expected.wild) continue;
    const double scale = right.dtype == DType::f32 ? std::max(largest(right), 1e-3) * mode.tolerance : 0;
    for (size_t j = 0; j < right.data.size(); ++j) {
      const double a = got[i].data[j], b = right.data[j];
      if (a == b || (std::isnan(a) && std::isnan(b))) continue;
      const double allowed = scale + expected.slack[i][j];
      if (std::fabs(a - b) <= allowed || allowed == INFINITY) continue;
      char text[160];
      std::snprintf(text, sizeof text, "output %d[%d] is %.9g, not %.9g (allowed: %.3g)", static_cast<int>(i),
                    static_cast<int>(j), a, b, allowed);
      return text;
    }
  }
  return "";
}

struct Tally {
  int64_t models = 0, runs = 0, refused = 0, wild = 0, failed = 0;
};

/// Empty: as it should be. `shown`: the model in words.
std::string check(const Bytes& bytes, uint64_t seed, bool all, Tally& tally, std::string* shown = nullptr) {
  Choices choices(bytes.data(), bytes.size());
  const Mode& mode = choices.of(kModes);
  const bool apart = choices.one_in(2);
  const int64_t first = choices.pick(0, 255);
  const Graph drawn = draw_model(choices, {false, 8});
  if (shown) *shown = to_string(drawn);
  const auto legal = legalize(drawn);
  if (!legal.ok()) return "not legal: " + legal.error().message;
  const auto graph = optimize(drawn, {});
  if (!graph.ok()) return "optimize: " + graph.error().message;
  const auto plan = lower(*graph, mode.precision);
  if (!plan.ok()) {  // a limit that the legalizer does not know
    ++tally.refused;
    return plan.error().code == ErrorCode::internal ? "lower: " + plan.error().message : "";
  }
  if (shown) *shown += to_string(*graph) + to_string(*plan);
  const Bindings bindings = random_bindings(*legal, static_cast<uint32_t>(seed));
  const auto expected = expect(*legal, bindings, mode, static_cast<uint32_t>(seed));
  if (!expected.ok()) return "the definitions: " + expected.error().message;
  tally.wild += expected->wild;
  static const std::vector<Target> kTargets = targets();
  const auto count = static_cast<int64_t>(kTargets.size());
  for (int64_t i = 0; i < (all ? count : 2); ++i) {
    const Target& target = kTargets[static_cast<size_t>((first + i * (all ? 1 : count / 2)) % count)];
    Random random(static_cast<uint32_t>(seed));
    Model model(*plan, target, random, apart);
    const auto got = model.run(bindings);
    ++tally.runs;
    const std::string wrong = got.ok() ? compare(*got, *expected, mode) : got.error().message;
    if (!wrong.empty()) return to_string(target) + (apart ? ", apart: " : ": ") + wrong;
  }
  return "";
}

/// Fewer and smaller bytes for as long as the model fails.
Bytes shrink(Bytes bytes, uint64_t seed) {
  int tries = 600;
  const auto fails = [&](const Bytes& candidate) {
    Tally ignored;
    return tries-- > 0 && !check(candidate, seed, true, ignored).empty();
  };
  for (bool again = true; again && tries > 0;) {
    again = false;
    const auto attempt = [&](Bytes candidate) {
      if (candidate == bytes || !fails(candidate)) return false;
      bytes = std::move(candidate);
      return again = true;
    };
    for (size_t size = bytes.size() / 2; size > 0; size /= 2)
      for (size_t at = 0; at + size <= bytes.size();) {
        Bytes without = bytes;
        without.erase(without.begin() + static_cast<std::ptrdiff_t>(at),
                      without.begin() + static_cast<std::ptrdiff_t>(at + size));
        if (!attempt(std::move(without))) at += size;
      }
    for (size_t at = 0; at < bytes.size(); ++at) {
      Bytes smaller = bytes;
      smaller[at] = 0;
      if (attempt(smaller)) continue;
      smaller[at] = bytes[at] / 2;
      attempt(smaller);
    }
  }
  return bytes;
}

std::string hex_of(const Bytes& bytes) {
  std::string out;
  for (const uint8_t byte : bytes) out += "0123456789abcdef"[byte >> 4], out += "0123456789abcdef"[byte & 15];
  return out;
}

Bytes bytes_of_hex(const std::string& text) {
  Bytes out;
  for (size_t at = 0; at + 2 <= text.size(); at += 2)
    out.push_back(static_cast<uint8_t>(std::strtol(text.substr(at, 2).c_str(), nullptr, 16)));
  return out;
}

bool show(const Bytes& bytes, uint64_t seed) {
  std::string model;
  Tally ignored;
  const std::string wrong = check(bytes, seed, true, ignored, &model);
  std::printf("%s\n%s--bytes %s\n", model.c_str(), wrong.empty() ? "" : (wrong + "\n").c_str(), hex_of(bytes).c_str());
  std::fflush(stdout);
  return wrong.empty();
}

unsigned long long running = 0;  ///< the seed at work, for when it ends the process
void say_seed(int) {
  std::fprintf(stderr, "seed %llu ends the process\n", running);
  std::_Exit(3);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string first = argc > 2 ? argv[1] : "";
  if (first.empty()) return std::fprintf(stderr, "kiln_differential FIRST COUNT [SECONDS] | --bytes HEX\n"), 2;
  if (first == "--bytes") return show(bytes_of_hex(argv[2]), 0) ? 0 : 1;
  std::signal(SIGSEGV, say_seed);
  std::signal(SIGILL, say_seed);
  const uint64_t begin = std::strtoull(argv[1], nullptr, 10), end = begin + std::strtoull(argv[2], nullptr, 10);
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::seconds(argc > 3 ? std::atoll(argv[3]) : 1 << 30);
  Tally tally;
  for (uint64_t seed = begin; seed < end && Clock::now() < until; ++seed) {
    running = seed;
    const Bytes bytes = bytes_of_seed(seed, kBytes);
    const std::string wrong = check(bytes, 0, false, tally);
    ++tally.models;
    if (wrong.empty()) continue;
    ++tally.failed;
    std::printf("seed %llu: %s\n", running, wrong.c_str());
    if (tally.failed <= 10) show(shrink(bytes, 0), 0);
  }
  std::printf("%lld models, %lld runs, %lld refused, %lld too wild to compare, %lld failed\n",
              static_cast<long long>(tally.models), static_cast<long long>(tally.runs),
              static_cast<long long>(tally.refused), static_cast<long long>(tally.wild),
              static_cast<long long>(tally.failed));
  return tally.failed ? 1 : 0;
}
