// What the prior expects a schedule to cost, in cycles of one thread.
#pragma once

#include "tuner/tuner.h"

namespace kiln {

/// A product's multiply-adds in tiles of mr rows × nv vectors, edges included. `int16`: those of int16_product().
double tiled_cost(const ContractionSpec& flattened, int mr, int nv, const Target& target, bool int16 = false);
/// Cycles for reading `bytes` of weights that no cache holds.
double streaming_cost(double bytes);
/// The product of one point of the transformed tiles.
ContractionSpec winograd_product(const ContractionSpec& spec, Algorithm algorithm);
/// Everything a convolution does with a Winograd schedule: transforms, products, and what overflows the caches.
double winograd_cost(const ContractionSpec& spec, const Schedule& schedule, const Target& target, const Device& device);

/// Cycles for what overflows the second-level cache. A block of A is read for each panel, and B for each block.
double overflow_cost(double block_bytes, double b_bytes, int64_t blocks, int64_t panels, const Device& device);
/// Everything a product does by Strassen's algorithm: sums, products, and what overflows the caches.
double strassen_cost(const ContractionSpec& spec, const Schedule& schedule, const Target& target, const Device& device);

/// Converting rows of A to integers.
double int16_rows_cost(int64_t rows, int64_t k, const Target& target);
/// Everything a product of integers does: A's rows, products, and what overflows the caches.
double int16_cost(const ContractionSpec& spec, const Schedule& schedule, const Target& target, const Device& device);

/// A tile for both products, one for the depthwise rows, and units that compute few rows twice.
Schedule inverted_residual_prior(const InvertedResidualSpec& spec, const Target& target, const Device& device);

/// A tile with blocks that fit the caches and give every thread enough work.
Schedule blocked(const ContractionSpec& spec, Schedule tile, const Target& target, const Device& device);
/// Any schedule of a contraction or a depthwise convolution.
double predicted_cost(const KernelSpec& spec, const Schedule& schedule, const Target& target, const Device& device);

/// The tiles (rows, vectors, unrolling) worth considering for a product of m × n.
std::vector<Schedule> product_tiles(int64_t m, int64_t n, const Target& target,
                                    Algorithm algorithm = Algorithm::direct);
/// A tile's Winograd schedules: the blocks worth considering.
std::vector<Schedule> winograd_blockings(const ContractionSpec& spec, Algorithm algorithm, const Schedule& tile,
                                         const Target& target);
/// A tile's Strassen schedules: equal blocks of rows.
std::vector<Schedule> strassen_blockings(const ContractionSpec& spec, const Schedule& tile, const Target& target);

/// Schedules of 16-bit integers: every tile, blocks of rows.
std::vector<Schedule> int16_candidates(const ContractionSpec& spec, const Target& target);

}  // namespace kiln
