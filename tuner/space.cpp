// The schedules worth considering for a spec: tiles that fit the registers, with the blockings that differ.
#include <algorithm>

#include "jit/kernels/contraction.h"
#include "jit/kernels/winograd.h"
#include "tuner/cost.h"

namespace kiln {

std::vector<Schedule> product_tiles(int64_t m, int64_t n, const Target& target, Algorithm algorithm) {
  std::vector<Schedule> out;
  for (int mr = 1; mr <= std::min<int64_t>(12, m); ++mr)
    for (int nv = 1; nv <= 12; ++nv) {
      Schedule t;
      t.algorithm = algorithm;
      t.mr = static_cast<uint8_t>(mr), t.nv = static_cast<uint8_t>(nv), t.unroll = 4;
      if (!tile_fits(t, target)) break;
      if (int64_t{nv - 1} * target.width >= n) break;              // a vector that would never be used
      const bool starves = mr * nv * 2 < target.vector_registers;  // the multipliers
      if (!starves || mr >= m || tile_columns(t, target) >= n) out.push_back(t);
    }
  return out;
}

namespace {

std::vector<Schedule> contraction_candidates(const ContractionSpec& spec, const Target& target) {
  const ContractionSpec s = flattened(spec);
  const int64_t m = s.oh * s.ow;
  std::vector<Schedule> out;
  for (Schedule t : product_tiles(m, s.n, target)) {
    for (const int64_t parts : {1, 2, 4, 16}) {
      const int64_t rows = round_up(ceil_div(m, parts), t.mr);
      if (parts > 1 && (rows < 4 * t.mr || rows > 65535)) continue;
      t.mc = static_cast<uint16_t>(parts == 1 ? 0 : rows);
      out.push_back(t);
    }
  }
  const std::vector<Schedule> int16 = int16_candidates(spec, target);
  out.insert(out.end(), int16.begin(), int16.end());
  for (const Algorithm algorithm : {Algorithm::winograd2, Algorithm::winograd4}) {
    if (winograd_tile(algorithm) > spec.winograd) continue;
    for (const Schedule& tile : product_tiles(winograd_tiles(spec, winograd_tile(algorithm)), spec.n, target)) {
      const std::vector<Schedule> blocked = winograd_blockings(spec, algorithm, tile, target);
      out.insert(out.end(), blocked.begin(), blocked.end());
    }
  }
  return out;
}

std::vector<Schedule> depthwise_candidates(const KernelSpec& spec, const Target& target) {
  const DepthwiseSpec& s = *std::get_if<DepthwiseSpec>(&spec);
  std::vector<Schedule> out;
  for (int h = 1; h <= 4; ++h) {
    for (int w = 1; w <= 8; ++w) {
      Schedule t;
      t.tile_h = static_cast<uint8_t>(h);
      t.tile_w = static_cast<uint8_t>(w);
      if (h <= s.oh && w <= s.ow && family_of(spec).feasible(spec, t, target)) out.push_back(t);
    }
  }
  return out;
}

}  // namespace

std::vector<Schedule> candidates(const KernelSpec& spec, const Target& target) {
  if (const auto* c = std::get_if<ContractionSpec>(&spec); c && !c->b_row) return contraction_candidates(*c, target);
  if (std::holds_alternative<DepthwiseSpec>(spec)) return depthwise_candidates(spec, target);
  return {Schedule{}};
}

}  // namespace kiln
