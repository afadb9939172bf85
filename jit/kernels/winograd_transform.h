// The one-dimensional transforms of Winograd's minimal filtering F(m, 3) and F(m, 2), on registers.
#pragma once

#include <vector>

#include "jit/emitter.h"
#include "jit/schedule.h"

namespace kiln {

/// Output pixels along one side of a tile; 0: not a Winograd algorithm.
constexpr int winograd_tile(Algorithm a) { return a == Algorithm::winograd4 ? 4 : a == Algorithm::winograd2 ? 2 : 0; }

/// How a 3×3 convolution is filtered, along one side. With stride 2 it is the sum of four convolutions of stride 1, one
/// for each phase: even and odd rows with even and odd columns. Even rows meet the first and the last tap, odd rows the
/// middle one. So all are F(m, 2), and a single tap contributes nothing at infinity.
struct WinogradForm {
  int m;       ///< output pixels of a tile
  int stride;  ///< of the convolution: 1 or 2

  constexpr int taps() const { return stride == 1 ? 3 : 2; }              ///< of a phase
  constexpr int points() const { return m + taps() - 1; }                 ///< the last one is infinity
  constexpr int data() const { return stride == 1 ? m + 2 : 2 * m + 1; }  ///< input pixels of a tile
  constexpr int weights() const { return data() * data(); }               ///< matrices of k × n, of all points
  constexpr int phases() const { return stride * stride; }                ///< of a finite point
};

/// A linear map as a list of multiply-adds. Make it where its constants should be loaded: before the loops that apply
/// it.
class WinogradTransform {
 public:
  static WinogradTransform input(Emitter& e, WinogradForm form);   ///< as many data of a phase as points → points
  static WinogradTransform output(Emitter& e, WinogradForm form);  ///< points → m
  /// `taps` of a phase → points; 1, of an odd phase: → all but infinity.
  static WinogradTransform weights(Emitter& e, WinogradForm form, int taps);

  /// With one value fewer than the transform has it transforms an odd phase of an input: → all points but infinity.
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
  WinogradTransform(Emitter& e, int inputs) : e_(&e), inputs_(inputs), values_(inputs) {}
  int sum(std::vector<Term> terms);
  /// Σ c_k · value[start + 2k] for the polynomial Σ c_k X^k = Π (X − root), root the square of each point but `skip`.
  int even_polynomial(const std::vector<double>& points, size_t skip, int start);
  WinogradTransform& load_constants();

  Emitter* e_;
  int inputs_, values_;
  size_t finite_ = 0;  ///< steps before infinity's
  std::vector<Step> steps_;
  std::vector<int> outputs_;
  std::vector<std::pair<float, Vec>> constants_;
};

}  // namespace kiln
