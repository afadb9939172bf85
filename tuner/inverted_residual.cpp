#include <algorithm>

#include "jit/family.h"
#include "tuner/cost.h"

namespace kiln {

Schedule inverted_residual_prior(const InvertedResidualSpec& s, const Target& target, const Device& device) {
  const auto row_cost = [&](ContractionSpec image, const Schedule& tile) {
    const auto rows = static_cast<double>(image.oh);
    image.oh = 1;
    return rows * tiled_cost(image, tile.mr, tile.nv, target);
  };
  Schedule best;
  double least = 0;
  for (const Schedule& tile : product_tiles(s.expand.ow, std::max(s.expand.n, s.project.n), target)) {
    const double cost = row_cost(s.expand, tile) + row_cost(s.project, tile);
    if (best.mr == 0 || cost < least) best = tile, least = cost;
  }
  const auto columns_cost = [&](int columns) {
    Schedule c;
    c.tile_h = 1, c.tile_w = static_cast<uint8_t>(columns);
    return predicted_cost(s.depthwise, c, target, device);
  };
  best.tile_h = best.tile_w = 1;
  least = columns_cost(1);
  for (int columns = 2; columns <= std::min<int64_t>(8, s.depthwise.ow); ++columns) {
    Schedule c = best;
    c.tile_w = static_cast<uint8_t>(columns);
    if (!family_of(s).feasible(s, c, target) || columns_cost(columns) >= least) continue;
    best = c, least = columns_cost(columns);
  }
  const int64_t rows = ceil_div(s.depthwise.oh * s.depthwise.batch, 8 * device.threads);
  if (device.threads > 1 && rows < s.depthwise.oh) best.mc = static_cast<uint16_t>(std::min<int64_t>(rows, 65535));
  return best;
}

}  // namespace kiln
