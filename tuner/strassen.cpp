#include "jit/kernels/strassen.h"

#include "jit/kernels/contraction.h"
#include "tuner/cost.h"

namespace kiln {

double strassen_cost(const ContractionSpec& spec, const Schedule& schedule, const Target& target,
                     const Device& device) {
  const ContractionSpec s = flattened(spec);
  const int64_t rows = strassen_rows(s, schedule), half = ceil_div(rows, 2), blocks = s.ow / rows;
  const int64_t pairs = s.n / (2 * tile_columns(schedule, target)), depth = s.k / 2;
  const int64_t panel_sums = pairs * 4 * depth * schedule.nv, row_sums = half * 4 * ceil_div(depth, target.width);
  // Vectors of a panel's sums, of A's sums and of added results, with the cycles for each.
  constexpr double kPanelSum = 1.5, kRowSum = 1.5, kResult = 8;
  double cost = 7 * tiled_cost(strassen_product(s, rows, s.n / 2), schedule.mr, schedule.nv, target);
  cost += static_cast<double>(panel_sums) * kPanelSum + static_cast<double>(row_sums) * kRowSum;
  cost += static_cast<double>(pairs * half * schedule.nv) * kResult;
  cost *= static_cast<double>(blocks);
  const double block_bytes = 1.75 * static_cast<double>(rows * s.k * 4),
               b_bytes = static_cast<double>(packed_size(s.k, s.n)) * 4;
  // Each product reads its quadrants in order, so fetching costs half as much.
  return cost + overflow_cost(block_bytes, b_bytes, blocks, pairs, device) / 2;
}

std::vector<Schedule> strassen_blockings(const ContractionSpec& spec, const Schedule& tile, const Target& target) {
  const int64_t m = spec.oh * spec.ow;
  std::vector<Schedule> out;
  Schedule t = tile;
  t.algorithm = Algorithm::strassen;
  for (int64_t blocks = 1; blocks <= 32 && m >= 8 * t.mr * blocks; ++blocks) {
    if (m % blocks || m / blocks > 65535) continue;
    t.mc = static_cast<uint16_t>(blocks > 1 ? m / blocks : 0);
    if (strassen_feasible(spec, t, target)) out.push_back(t);
  }
  return out;
}

}  // namespace kiln
