// The schedules worth considering for a spec: what fits the registers, at the blockings that differ.
#include <algorithm>

#include "jit/kernels/contraction.h"
#include "tuner/cost.h"

namespace kiln {
namespace {

std::vector<Schedule> contraction_candidates(const ContractionSpec& spec, const Target& target) {
  const ContractionSpec s = flattened(spec);
  const int64_t m = s.oh * s.ow;
  std::vector<Schedule> out;
  for (int mr = 1; mr <= 12; ++mr) {
    if (mr > m) break;
    for (int nv = 1; nv <= 12; ++nv) {
      Schedule t;
      t.mr = static_cast<uint8_t>(mr);
      t.nv = static_cast<uint8_t>(nv);
      t.unroll = 4;
      if (!kiln::family_of(spec).feasible(spec, t, target)) continue;
      if (int64_t{nv - 1} * target.width >= s.n) continue;  // a vector that would never be used
      if (mr * nv * 2 < target.vector_registers && mr < m && int64_t{nv} * target.width < s.n)
        continue;  // starves the multipliers
      for (const int64_t parts : {1, 2, 4, 16}) {
        const int64_t rows = round_up(ceil_div(m, parts), mr);
        if (parts > 1 && (rows < 4 * mr || rows > 65535)) continue;
        t.mc = static_cast<uint16_t>(parts == 1 ? 0 : rows);
        out.push_back(t);
      }
    }
  }
  const std::vector<Schedule> winograd = winograd_candidates(spec, target);
  out.insert(out.end(), winograd.begin(), winograd.end());
  return out;
}

std::vector<Schedule> depthwise_candidates(const DepthwiseSpec& s, const Target& target) {
  std::vector<Schedule> out;
  for (int h = 1; h <= 4; ++h) {
    for (int w = 1; w <= 8; ++w) {
      Schedule t;
      t.tile_h = static_cast<uint8_t>(h);
      t.tile_w = static_cast<uint8_t>(w);
      if (h <= s.oh && w <= s.ow && family_of(s).feasible(s, t, target)) out.push_back(t);
    }
  }
  return out;
}

}  // namespace

std::vector<Schedule> candidates(const KernelSpec& spec, const Target& target) {
  if (const auto* c = std::get_if<ContractionSpec>(&spec)) return contraction_candidates(*c, target);
  if (const auto* d = std::get_if<DepthwiseSpec>(&spec)) return depthwise_candidates(*d, target);
  return {Schedule{}};
}

}  // namespace kiln
