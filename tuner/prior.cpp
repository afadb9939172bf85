// The schedule for a spec that was never measured. It uses a model of the micro-kernel's rate, and blocks that fit the
// caches.
#include <algorithm>

#include "jit/kernels/contraction.h"
#include "jit/kernels/depthwise.h"
#include "jit/kernels/int16.h"
#include "jit/kernels/winograd.h"
#include "tuner/cost.h"

namespace kiln {
namespace {

/// Cycles per k of an mr × nv tile. A cycle takes two multiply-adds and two loads, and a multiply-add has a latency of
/// four. A dozen chains of multiply-adds keep both units busy. With fewer, some of the latency shows.
double cycles_per_k(int64_t mr, int64_t nv, const Target& target) {
  constexpr double kBusyChains = 12;
  const auto chains = static_cast<double>(mr * nv), operands = static_cast<double>(mr + nv);
  const double products = chains * (target.fma ? 0.5 : 0.55), loads = operands * 0.5;
  return std::max({products + 0.1 * std::max(0.0, kBusyChains - chains), loads, target.fma ? 4.0 : 3.0}) +
         0.01 * operands;
}

/// The same for words of two integers. A product and a sum are two instructions, but they wait less for each other.
double cycles_per_word(int64_t mr, int64_t nv) {
  const auto chains = static_cast<double>(mr * nv), operands = static_cast<double>(mr + nv);
  return std::max(chains * 0.6, operands * 0.5) + 0.03 * operands;
}

}  // namespace

double tiled_cost(const ContractionSpec& s, int mr, int nv, const Target& target, bool int16) {
  const int64_t m = s.oh * s.ow, nr = int64_t{nv} * target.width, k = s.kh * s.kw * s.k;
  const double per_tile = 30.0;  // call, accumulators, stores
  const double per_sum = 2.5;    // of integers that are added as floats
  Schedule tile;
  tile.mr = static_cast<uint8_t>(mr);
  const std::vector<int64_t> remainder = remainder_tiles(s, tile);
  const int64_t whole = (m - remainder_rows(s, tile)) / mr;
  const auto row_of_tiles = [&](int64_t vectors) {
    const auto one = [&](int64_t rows) {
      const auto results = static_cast<double>(rows * vectors);
      const double products = int16 ? cycles_per_word(rows, vectors) : cycles_per_k(rows, vectors, target);
      return static_cast<double>(k) * products + per_tile + results * 2 +
             (int16 ? static_cast<double>(s.kh) * per_sum * results : 0);
    };
    double cost = static_cast<double>(whole) * one(mr);
    for (int64_t rows : remainder) cost += one(rows);
    return cost;
  };
  const int64_t columns = s.n / nr;
  double cost = static_cast<double>(columns) * row_of_tiles(nv);
  if (s.n % nr) cost += row_of_tiles(ceil_div(s.n % nr, target.width));
  return cost;
}

/// A block of A that is too large for the second-level cache comes from the last-level cache for every panel. A large B
/// comes again for every block. Half of that hides behind the arithmetic.
double overflow_cost(double block_bytes, double b_bytes, int64_t blocks, int64_t panels, const Device& device) {
  const auto l2 = static_cast<double>(device.l2_bytes);
  double moved = 0;
  if (block_bytes > l2 * 0.75) moved += static_cast<double>(blocks * panels) * block_bytes;
  if (b_bytes > l2 / 2) moved += static_cast<double>(blocks - 1) * b_bytes;
  return moved / 24;
}

namespace {

/// The tile for which the product of s.oh·s.ow × s.n costs least.
Schedule best_tile(const ContractionSpec& s, const Target& target, double* cost) {
  Schedule best;
  for (const Schedule& t : product_tiles(s.oh * s.ow, s.n, target)) {
    const double own = tiled_cost(s, t.mr, t.nv, target);
    if (best.mr == 0 || own < *cost) best = t, *cost = own;
  }
  return best;
}

/// Winograd's form of a convolution of stride 2 must cost less than this part of the direct form. ResNet-50's first
/// convolution takes 0.77 of the time alone, where this model says 0.93. The whole network takes as long, with 1 MB
/// more. YOLOv8n's convolutions, up to 0.91 here, make it faster. Natively no gain could be told from noise.
constexpr double kStridedWorthIt = 0.92;

/// The best Winograd schedule if it costs less than `cost`. Only tiles whose product costs little more than the least
/// are blocked.
std::optional<Schedule> winograd_prior(const ContractionSpec& spec, double cost, const Target& target,
                                       const Device& device) {
  constexpr double kNear = 1.03;
  std::optional<Schedule> best;
  if (stride_in_taps(spec) == 2) {
    if (target.isa != Isa::wasm) return best;
    cost *= kStridedWorthIt;
  }
  const int64_t threads = device.threads;
  for (const Algorithm algorithm : {Algorithm::winograd2, Algorithm::winograd4}) {
    if (winograd_tile(algorithm) > spec.winograd) continue;
    const ContractionSpec product = winograd_product(spec, algorithm);
    double least = 0;
    best_tile(product, target, &least);
    for (const Schedule& tile : product_tiles(product.ow, product.n, target)) {
      if (tiled_cost(product, tile.mr, tile.nv, target) > kNear * least) continue;
      for (const Schedule& c : winograd_blockings(spec, algorithm, tile, target)) {
        const int64_t units = winograd_units(spec, c);
        if (threads > 1 && units < 4 * threads && units % threads) continue;
        const double own = winograd_cost(spec, c, target, device);
        if (own < cost) best = c, cost = own;
      }
    }
  }
  return best;
}

/// Of A, that a row of a block brings into the cache: of one line of taps, as far as windows lie apart.
int64_t row_bytes(const ContractionSpec& s) {
  const int64_t taps = s.kh == 1 ? std::max(s.k, std::min(s.kw * s.k, s.a_col)) : s.kh * s.k;
  return std::max<int64_t>(1, taps * 4);
}

}  // namespace

Schedule blocked(const ContractionSpec& spec, Schedule schedule, const Target& target, const Device& device) {
  const ContractionSpec s = flattened(spec);
  const int64_t m = s.oh * s.ow, mr = schedule.mr;
  // A block of A fills most of the second-level cache while the panels of B pass. B is read once for each block.
  const int64_t parts = ceil_div(m * row_bytes(s), device.l2_bytes * 3 / 4);
  int64_t mc = std::min<int64_t>(round_up(ceil_div(m, parts), mr), 65535 / mr * mr);
  const int64_t panels = ceil_div(s.n, tile_columns(schedule, target)) * s.batch[0] * s.batch[1];
  if (device.threads > 1)  // enough units for every thread to get an even share
    while (mc > mr && panels * ceil_div(m, mc) < 8 * device.threads) mc = std::max<int64_t>(mr, mc / 2 / mr * mr);
  schedule.mc = static_cast<uint16_t>(mc >= m ? 0 : mc);
  return schedule;
}

namespace {

/// A product in tiles, and what overflows the caches with its blocks.
double direct_cost(const ContractionSpec& spec, const Schedule& schedule, const Target& target, const Device& device) {
  const ContractionSpec s = flattened(spec);
  const int64_t m = s.oh * s.ow, block = schedule.mc ? std::min<int64_t>(schedule.mc, m) : m;
  const double b_bytes = static_cast<double>(packed_size(s.kh * s.kw * s.k, s.n)) * 4;
  return tiled_cost(s, schedule.mr, schedule.nv, target) +
         overflow_cost(static_cast<double>(block * row_bytes(s)), b_bytes, ceil_div(m, block),
                       ceil_div(s.n, tile_columns(schedule, target)), device);
}

/// The best Strassen schedule if it costs less than `cost`. With few rows it must be clearly less, as whole models then
/// keep little of the gain: sums of weights that come from memory wait for them. MiniLM's products, of 64 rows, took
/// 0.96 of the time, but MiniLM 2% longer on one thread, 5% on two; T5's encoder of 64 tokens took 1.03. That is also
/// why the search is not offered any other. With 196 rows whole models keep it (Swin, ConvNeXt, CLIP, ViT: 0.97 to
/// 0.99). Natively it does not pay: with AVX-512 BERT-base took 1.25 times as long.
std::optional<Schedule> strassen_prior(const ContractionSpec& spec, double cost, const Target& target,
                                       const Device& device) {
  constexpr int64_t kFewRows = 128;
  std::optional<Schedule> best;
  if (!spec.strassen || target.isa != Isa::wasm) return best;
  cost *= spec.oh * spec.ow < kFewRows ? 0.945 : 0.985;
  for (const Schedule& tile : product_tiles(ceil_div(spec.oh * spec.ow, 2), spec.n / 2, target))
    for (const Schedule& c : strassen_blockings(spec, tile, target)) {
      const double own = strassen_cost(spec, c, target, device);
      if (own < cost) best = c, cost = own;
    }
  return best;
}

/// The best schedule with 16-bit integers, if it costs less than `cost`.
std::optional<Schedule> int16_prior(const ContractionSpec& spec, double cost, const Target& target,
                                    const Device& device) {
  std::optional<Schedule> best;
  if (!spec.int16 || !device.fast_dots) return best;
  for (const Schedule& c : int16_candidates(spec, target)) {
    const double own = int16_cost(spec, c, target, device);
    if (own < cost) best = c, cost = own;
  }
  return best;
}

Schedule contraction_prior(const ContractionSpec& spec, const Target& target, const Device& device) {
  const ContractionSpec s = flattened(spec);
  const int64_t k = s.kh * s.kw * s.k;
  double least = 0;
  const Schedule best = best_tile(s, target, &least);
  if (const auto winograd =
          winograd_prior(spec, least + streaming_cost(static_cast<double>(packed_size(k, s.n)) * 4), target, device))
    return *winograd;
  const Schedule direct = blocked(spec, best, target, device);
  double cost = direct_cost(spec, direct, target, device);
  if (const auto int16 = int16_prior(spec, cost, target, device)) return *int16;
  return strassen_prior(spec, cost, target, device).value_or(direct);
}

/// Cycles for the whole image: multiply-adds, and loads of inputs and taps.
double depthwise_cost(const DepthwiseSpec& s, const Schedule& schedule, const Target& target) {
  const auto extent = [](int64_t outputs, int64_t taps, int64_t stride, int64_t tap_stride) {
    tap_stride = std::max<int64_t>(1, tap_stride);
    const int64_t step = stride / tap_stride;
    return stride % tap_stride || step >= taps ? outputs * taps : (outputs - 1) * step + taps;
  };
  const int64_t line = depthwise_line(s, target), parts = ceil_div(s.kw, line);
  const auto tile = [&](int64_t height, int64_t width) {
    const int64_t inputs =
        extent(height, s.kh, s.in_row, s.in_tap_row) * parts * extent(width, line, s.in_col, s.in_tap_col);
    const auto products = static_cast<double>(height * width * s.kh * s.kw);
    const auto loads = static_cast<double>(inputs + height * s.kh * s.kw);
    // The multiply-adds of one accumulator depend on each other. With few accumulators they wait.
    return std::max({products * (target.fma ? 0.5 : 0.55), loads * 0.5, 4.0 * static_cast<double>(s.kh * s.kw)}) +
           static_cast<double>(height * width) + 8;
  };
  const auto rows = [&](int64_t height) {
    const int64_t whole = s.ow / schedule.tile_w, rest = s.ow % schedule.tile_w;
    return static_cast<double>(whole) * tile(height, schedule.tile_w) + (rest ? tile(height, rest) : 0);
  };
  const int64_t whole = s.oh / schedule.tile_h, rest = s.oh % schedule.tile_h;
  return static_cast<double>(whole) * rows(schedule.tile_h) + (rest ? rows(rest) : 0);
}

/// Picks the tile for both products. A block's scores fill a quarter of the second-level cache.
Schedule attention_prior(const AttentionSpec& s, const Target& target, const Device& device) {
  if (s.k_row) return Schedule{};
  Schedule best;
  double least = 0;
  const auto consider = [&](Algorithm algorithm, FunctionRef<double(const ContractionSpec&, const Schedule&)> cost_of) {
    for (const Schedule& c : product_tiles(s.scores.ow, s.scores.n, target, algorithm)) {
      const double cost = cost_of(s.scores, c) + cost_of(s.values, c);
      if (best.mr == 0 || cost < least) best = c, least = cost;
    }
  };
  consider(Algorithm::direct,
           [&](const ContractionSpec& product, const Schedule& c) { return tiled_cost(product, c.mr, c.nv, target); });
  if (s.scores.int16 && device.fast_dots && int16_fits(s.scores, target))
    consider(Algorithm::int16, [&](const ContractionSpec& product, const Schedule& c) {
      return tiled_cost(int16_product(product), c.mr, c.nv, target, true) +
             int16_rows_cost(product.ow, product.k, target);
    });
  int64_t rows = std::max<int64_t>(1, device.l2_bytes / 4 / (s.scores.n * 4) / best.mr) * best.mr;
  const int64_t batches = s.scores.batch[0] * s.scores.batch[1];
  if (device.threads > 1)  // even shares
    while (rows > best.mr && batches * ceil_div(s.scores.ow, rows) < 8 * device.threads)
      rows = std::max<int64_t>(best.mr, rows / 2 / best.mr * best.mr);
  best.mc = static_cast<uint16_t>(rows >= s.scores.ow ? 0 : std::min<int64_t>(rows, 65535 / best.mr * best.mr));
  return best;
}

}  // namespace

Schedule prior(const KernelSpec& spec, const Target& target, const Device& device) {
  if (const auto* c = std::get_if<ContractionSpec>(&spec))
    return c->b_row ? Schedule{} : contraction_prior(*c, target, device);
  if (const auto* a = std::get_if<AttentionSpec>(&spec)) return attention_prior(*a, target, device);
  if (const auto* r = std::get_if<InvertedResidualSpec>(&spec)) return inverted_residual_prior(*r, target, device);
  if (!std::holds_alternative<DepthwiseSpec>(spec)) return Schedule{};
  const std::vector<Schedule> all = candidates(spec, target);
  return *std::min_element(all.begin(), all.end(), [&](const Schedule& a, const Schedule& b) {
    return predicted_cost(spec, a, target, device) < predicted_cost(spec, b, target, device);
  });
}

Schedule prior_at_load(const KernelSpec& spec, const Target& target, const Device& device) {
  const Schedule own = prior(spec, target, device);
  Schedule shared = own;
  shared.any_size = std::holds_alternative<MapSpec>(spec);
  return family_of(spec).feasible(spec, shared, target) ? shared : own;
}

double predicted_cost(const KernelSpec& spec, const Schedule& schedule, const Target& target, const Device& device) {
  if (const auto* d = std::get_if<DepthwiseSpec>(&spec)) return depthwise_cost(*d, schedule, target);
  const auto* c = std::get_if<ContractionSpec>(&spec);
  if (!c || c->b_row) return 0;  // there is one schedule
  // in the order of Algorithm
  constexpr double (*kCosts[])(const ContractionSpec&, const Schedule&, const Target&, const Device&) = {
      direct_cost, winograd_cost, winograd_cost, strassen_cost, int16_cost};
  return kCosts[static_cast<size_t>(schedule.algorithm)](*c, schedule, target, device);
}

}  // namespace kiln
