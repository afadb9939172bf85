// The schedule for a spec that nobody measured: a model of the micro-kernel's rate, and blocks that fit the caches.
#include <algorithm>

#include "jit/kernels/contraction.h"
#include "tuner/cost.h"

namespace kiln {
namespace {

/// Cycles per k of an mr × nv tile: two multiply-adds and two loads a cycle, and at least their latency of four. A
/// dozen chains of multiply-adds keep both units busy; with fewer some of their latency shows.
double cycles_per_k(int64_t mr, int64_t nv, const Target& target) {
  constexpr double kBusyChains = 12;
  const auto chains = static_cast<double>(mr * nv), operands = static_cast<double>(mr + nv);
  const double products = chains * (target.fma ? 0.5 : 0.55), loads = operands * 0.5;
  return std::max({products + 0.1 * std::max(0.0, kBusyChains - chains), loads, target.fma ? 4.0 : 3.0}) +
         0.01 * operands;
}

}  // namespace

double tiled_cost(const ContractionSpec& s, int mr, int nv, const Target& target) {
  const int64_t m = s.oh * s.ow, nr = int64_t{nv} * target.width, k = s.kh * s.kw * s.k;
  const double per_tile = 30.0;  // call, accumulators, stores
  const auto row_of_tiles = [&](int64_t vectors) {
    const int64_t whole = m / mr;
    const auto tiles = static_cast<double>(whole);
    double cost = tiles * (static_cast<double>(k) * cycles_per_k(mr, vectors, target) + per_tile +
                           static_cast<double>(mr * vectors) * 2);
    if (m % mr)
      cost += static_cast<double>(k) * cycles_per_k(m % mr, vectors, target) + per_tile +
              static_cast<double>((m % mr) * vectors) * 2;
    return cost;
  };
  const int64_t columns = s.n / nr;
  double cost = static_cast<double>(columns) * row_of_tiles(nv);
  if (s.n % nr) cost += row_of_tiles(ceil_div(s.n % nr, target.width));
  return cost;
}

namespace {

/// The best Winograd schedule if it costs less than `cost`.
std::optional<Schedule> winograd_prior(const ContractionSpec& spec, double cost, const Target& target,
                                       const Device& device) {
  std::optional<Schedule> best;
  const int64_t threads = device.threads;
  for (const Schedule& c : winograd_candidates(spec, target)) {
    const int64_t units = family_of(spec).units(spec, c, target);
    if (threads > 1 && units < 4 * threads && units % threads) continue;
    const double own = winograd_cost(spec, c, target, device);
    if (own < cost) best = c, cost = own;
  }
  return best;
}

Schedule contraction_prior(const ContractionSpec& spec, const Target& target, const Device& device) {
  const ContractionSpec s = flattened(spec);
  const int64_t m = s.oh * s.ow, k = s.kh * s.kw * s.k;
  Schedule best;
  double least = 0;
  for (const Schedule& c : candidates(spec, target)) {
    if (c.mc || c.algorithm != Algorithm::direct) continue;
    const double cost = tiled_cost(s, c.mr, c.nv, target);
    if (best.mr == 0 || cost < least) best = c, least = cost;
  }
  if (const auto winograd =
          winograd_prior(spec, least + streaming_cost(static_cast<double>(packed_size(k, s.n)) * 4), target, device))
    return *winograd;
  // A block of A stays in most of the second-level cache while the panels of B go by; B is read once for each block.
  const int64_t rows_bytes = std::max<int64_t>(1, s.kh * s.kw == 1 ? k * 4 : s.k * 4 * s.kh);
  const int64_t parts = ceil_div(m * rows_bytes, device.l2_bytes * 3 / 4);
  int64_t mc = std::min<int64_t>(round_up(ceil_div(m, parts), best.mr), 65535 / best.mr * best.mr);
  const int64_t panels = ceil_div(s.n, tile_columns(best, target)) * s.batch[0] * s.batch[1];
  if (device.threads > 1)  // enough units for every thread to get an even share
    while (mc > best.mr && panels * ceil_div(m, mc) < 8 * device.threads)
      mc = std::max<int64_t>(best.mr, mc / 2 / best.mr * best.mr);
  best.mc = static_cast<uint16_t>(mc >= m ? 0 : mc);
  return best;
}

}  // namespace

Schedule prior(const KernelSpec& spec, const Target& target, const Device& device) {
  if (const auto* c = std::get_if<ContractionSpec>(&spec)) return contraction_prior(*c, target, device);
  if (const auto* d = std::get_if<DepthwiseSpec>(&spec)) {
    Schedule s;
    s.tile_h = static_cast<uint8_t>(std::min<int64_t>(2, d->oh));
    s.tile_w = static_cast<uint8_t>(std::min<int64_t>(target.vector_registers > 16 ? 8 : 4, d->ow));
    return s;
  }
  return Schedule{};
}

}  // namespace kiln
