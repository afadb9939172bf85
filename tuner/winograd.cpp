#include "jit/kernels/winograd.h"

#include <algorithm>

#include "jit/kernels/contraction.h"
#include "tuner/cost.h"

namespace kiln {
namespace {

/// Cycles per byte: from memory, and from the last-level cache if the second-level one is too small.
constexpr double kFromMemory = 1.0 / 7, kFromLastCache = 1.0 / 12, kFromSecondCache = 1.0 / 100;
/// Weights that are read again in order mostly hide behind the arithmetic.
constexpr double kReadAhead = kFromLastCache / 4;
/// Cycles per byte of weights that Winograd adds. They are spent once, at load: the first touch of a page (0.5 to 2 µs)
/// and the transform.
constexpr double kAddedAtLoad = 2.0;

/// In a page the first run must win back what larger weights cost at load, because the visitor waits for both. So
/// layers with few pixels and many channels use no Winograd algorithm, or small tiles. See
/// docs/decisions/0012-size-of-winograd-weights.md. A server loads once and runs for long.
double load_cost(double added_bytes, const Target& target) {
  return target.isa == Isa::wasm ? added_bytes * kAddedAtLoad : 0;
}

/// Cycles to transform one vector of a tile by one-dimensional transforms. Their number of values is that of the data
/// or of the points.
double transform_cycles(WinogradForm form, bool input) {
  const double values = input ? form.data() : form.points();
  const double applications = input ? 2 * values : values + form.m;
  return applications * values * (form.m == 4 ? 2.6 : 2.0);
}

/// Cycles for the products of all points. With a stride, points at infinity have fewer phases.
double products_cost(const ContractionSpec& s, const Schedule& schedule, const Target& target) {
  const WinogradForm form = winograd_form(s, schedule.algorithm);
  ContractionSpec product = winograd_product(s, schedule.algorithm);
  const auto of = [&](int points, int phases) {
    product.k = phases * s.k;
    return points * tiled_cost(product, schedule.mr, schedule.nv, target);
  };
  const int m = form.m;
  return form.stride == 1 ? of(form.weights(), 1) : of(m * m, 4) + of(2 * m, 2) + of(1, 1);
}

}  // namespace

double streaming_cost(double bytes) { return bytes * kFromMemory; }

ContractionSpec winograd_product(const ContractionSpec& s, Algorithm algorithm) {
  ContractionSpec product;
  const WinogradForm form = winograd_form(s, algorithm);
  product.ow = winograd_tiles(s, form.m), product.k = form.phases() * s.k, product.n = s.n;
  return product;
}

double winograd_cost(const ContractionSpec& s, const Schedule& schedule, const Target& target, const Device& device) {
  const WinogradForm form = winograd_form(s, schedule.algorithm);
  const double matrices = form.weights(), points = form.points() * form.points();
  const int64_t tiles = winograd_tiles(s, form.m);
  const int64_t block = schedule.mc ? std::min<int64_t>(schedule.mc, tiles) : tiles, blocks = ceil_div(tiles, block);
  const int64_t columns = schedule.nc ? std::min<int64_t>(schedule.nc, s.n) : s.n, ranges = ceil_div(s.n, columns);
  const auto vectors = [&](int64_t channels) { return static_cast<double>(tiles * ceil_div(channels, target.width)); };
  double cost = products_cost(s, schedule, target);
  cost += vectors(s.k) * transform_cycles(form, true) + vectors(s.n) * transform_cycles(form, false);
  // The transformed weights come from memory once, and again for each further block of tiles.
  const double weights = matrices * static_cast<double>(packed_size(s.k, s.n)) * 4;
  cost += streaming_cost(weights) + load_cost(weights * (1 - 9 / matrices), target);
  const auto l2 = static_cast<double>(device.l2_bytes);
  if (weights > l2 / 2) cost += weights * static_cast<double>(blocks - 1) * kReadAhead;
  // A block's data is written and soon read again. What exceeds half of the cache has left it by then.
  const double input = matrices * static_cast<double>(block * s.k) * 4,
               output = points * static_cast<double>(block * columns) * 4;
  cost += static_cast<double>(blocks * ranges) * std::max(0.0, input + output - l2 / 2) * 2 * kFromLastCache;
  cost += static_cast<double>(blocks * (ranges - 1)) * input * kFromSecondCache;
  return cost;
}

std::vector<Schedule> winograd_blockings(const ContractionSpec& s, Algorithm algorithm, const Schedule& tile,
                                         const Target& target) {
  std::vector<Schedule> out;
  Schedule t = tile;
  t.algorithm = algorithm;
  for (const int64_t block : {0, 2, 4, 8, 16}) {
    if (block * t.mr >= winograd_tiles(s, winograd_tile(algorithm))) continue;
    for (const int64_t parts : {1, 4, 16}) {
      const int64_t columns = round_up(ceil_div(s.n, parts), tile_columns(t, target));
      if (parts > 1 && columns * (parts - 1) >= s.n) continue;
      t.mc = static_cast<uint16_t>(block * t.mr), t.nc = static_cast<uint16_t>(parts > 1 ? columns : 0);
      if (winograd_feasible(s, t, target)) out.push_back(t);
    }
  }
  return out;
}

}  // namespace kiln
