#include "jit/kernels/int16.h"

#include <algorithm>

#include "jit/kernels/contraction.h"
#include "tuner/cost.h"

namespace kiln {

double int16_rows_cost(int64_t rows, int64_t k, const Target& target) {
  constexpr double kVector = 2.8;
  return kVector / target.width * static_cast<double>(rows * k);
}

double int16_cost(const ContractionSpec& spec, const Schedule& schedule, const Target& target, const Device& device) {
  const ContractionSpec s = flattened(spec);
  const int64_t m = s.oh * s.ow, block = schedule.mc ? std::min<int64_t>(schedule.mc, m) : m;
  const int64_t blocks = ceil_div(m, block), panels = ceil_div(s.n, tile_columns(schedule, target));
  // If threads share a block, each converts its rows for itself.
  const auto times = static_cast<double>(std::max<int64_t>(blocks, device.threads)) / static_cast<double>(blocks);
  return times * int16_rows_cost(m, s.k, target) +
         tiled_cost(int16_product(s), schedule.mr, schedule.nv, target, true) +
         overflow_cost(static_cast<double>(block * int16_words(s.k) * 4),
                       static_cast<double>(int16_packed(s.k, s.n)) * 4, blocks, panels, device);
}

std::vector<Schedule> int16_candidates(const ContractionSpec& spec, const Target& target) {
  std::vector<Schedule> out;
  if (!spec.int16) return out;
  const int64_t m = spec.oh * spec.ow;
  for (Schedule t : product_tiles(m, spec.n, target, Algorithm::int16))
    for (const int64_t parts : {1, 2, 4, 16}) {
      const int64_t rows = round_up(ceil_div(m, parts), t.mr);
      if (parts > 1 && (rows < 4 * t.mr || rows > 65535)) continue;
      t.mc = static_cast<uint16_t>(parts == 1 ? 0 : rows);
      if (int16_feasible(spec, t, target)) out.push_back(t);
    }
  return out;
}

}  // namespace kiln
