// The one-dimensional transforms of Winograd's minimal filtering F(m, 3), on registers.
#pragma once

#include <vector>

#include "jit/emitter.h"
#include "jit/schedule.h"

namespace kiln {

/// Output pixels along one side of a tile; 0: not a Winograd algorithm.
constexpr int winograd_tile(Algorithm a) { return a == Algorithm::winograd4 ? 4 : a == Algorithm::winograd2 ? 2 : 0; }

/// A linear map as a list of multiply-adds. Made where its constants should be loaded: before the loops that apply it.
class WinogradTransform {
 public:
  static WinogradTransform input(Emitter& e, int m);    ///< m+2 data → m+2
  static WinogradTransform output(Emitter& e, int m);   ///< m+2 products → m
  static WinogradTransform weights(Emitter& e, int m);  ///< 3 → m+2

  std::vector<Vec> apply(const std::vector<Vec>& values);

 private:
  struct Step {  // value[sum] (nothing if negative) + factor · value[of] becomes the next value
    int sum;
    float factor;
    int of;
  };
  struct Term {
    double factor;
    int of;
  };
  WinogradTransform(Emitter& e, int inputs) : e_(&e), values_(inputs) {}
  int sum(std::vector<Term> terms);
  /// Σ c_k · value[start + 2k] for the polynomial Σ c_k X^k = Π (X − root), root the square of each point but `skip`.
  int even_polynomial(const std::vector<double>& points, size_t skip, int start);
  WinogradTransform& load_constants();

  Emitter* e_;
  int values_;
  std::vector<Step> steps_;
  std::vector<int> outputs_;
  std::vector<std::pair<float, Vec>> constants_;
};

}  // namespace kiln
