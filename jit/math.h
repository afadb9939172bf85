// Elementary functions on vector registers, each once. Errors are the largest seen against double precision
// over the whole range (tests/math_test.cpp holds them): relative to the result unless it says otherwise.
#pragma once

#include "jit/emitter.h"

namespace kiln::math {

Vec exp(Emitter& e,
        Vec x);  ///< 2e-7; 0 below -103.9, inf above 88.72. Cephes expf, degree-5 polynomial on [-ln2/2, ln2/2]
Vec exp_flushed(Emitter& e,
                Vec x);          ///< 2e-7 for x in [-87.3, 88.3]; 0 below (no denormals), not for x above 89: softmax
Vec expm1(Emitter& e, Vec x);    ///< 6e-7; polynomial near 0, exp(x) - 1 elsewhere
Vec log(Emitter& e, Vec x);      ///< 2e-7 (absolute 1e-7 near 1); NaN below 0, -inf at 0. Cephes logf
Vec log1p(Emitter& e, Vec x);    ///< 4e-7; log(1+x) corrected by the rounding of 1+x (Kahan)
Vec erf(Emitter& e, Vec x);      ///< absolute 4.2e-7; rational of degree 13/8 on [-4, 4] (Eigen's, after Cody)
Vec tanh(Emitter& e, Vec x);     ///< 4e-7; rational of degree 13/6 on [-9, 9] (Eigen's)
Vec sigmoid(Emitter& e, Vec x);  ///< 4e-7; 1 / (1 + exp(-x))
Vec pow(Emitter& e, Vec x, Vec y);    ///< exp(y·log|x|): 1e-6·|y·log x|; sign by parity of an integral y, NaN
                                      ///< for other y of negative x
Vec sin(Emitter& e, Vec x);           ///< absolute 2e-7 for |x| < 8192, Cephes sinf with three-part reduction
Vec cos(Emitter& e, Vec x);           ///< as sin
Vec atan2(Emitter& e, Vec y, Vec x);  ///< 4e-7; Cephes atanf; signed zeros and infinities as C
Vec fmod(Emitter& e, Vec a,
         Vec b);  ///< exact while |a/b| < 2^23 on targets with fused multiply-add, else within one rounding of a

}  // namespace kiln::math
