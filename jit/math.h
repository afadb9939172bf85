// Elementary functions on vector registers, each once. Errors are the largest seen against double precision
// over the whole range (tests/math_test.cpp holds them): relative to the result unless it says otherwise.
#pragma once

#include "jit/emitter.h"

namespace kiln::math {

Vec exp(Emitter& e,
        Vec x);  ///< 2e-7; 0 below -103.9, inf above 88.72. Cephes expf, degree-5 polynomial on [-ln2/2, ln2/2]
Vec exp_flushed(Emitter& e,
                Vec x);          ///< 2e-7 for x in [-87.3, 88.3]; 0 below (no denormals), not for x above 89: softmax
Vec exp2(Emitter& e, Vec x);     ///< 1.3e-7; powers of two exactly
Vec expm1(Emitter& e, Vec x);    ///< 6e-7; polynomial near 0, exp(x) - 1 elsewhere
Vec log(Emitter& e, Vec x);      ///< 2e-7; NaN below 0, -inf at 0. Cephes logf
Vec log2(Emitter& e, Vec x);     ///< 6e-8; whole numbers exactly. In two parts, as pow
Vec log10(Emitter& e, Vec x);    ///< 6e-8; as log2
Vec log1p(Emitter& e, Vec x);    ///< 4e-7; log(1+x) corrected by the rounding of 1+x (Kahan)
Vec erf(Emitter& e, Vec x);      ///< absolute 4.2e-7; rational of degree 13/8 on [-4, 4] (Eigen's, after Cody)
Vec tanh(Emitter& e, Vec x);     ///< 4e-7; rational of degree 13/6 on [-9, 9] (Eigen's)
Vec sigmoid(Emitter& e, Vec x);  ///< 4e-7; 1 / (1 + exp(-x))
Vec pow(Emitter& e, Vec x, Vec y);  ///< 2e-7; special values as C. y·log2|x| in two parts
Vec sin(Emitter& e, Vec x);  ///< 2e-7, or absolute 5e-11. Reduced in three parts, and as Payne and Hanek above 10000
Vec cos(Emitter& e, Vec x);  ///< as sin
Vec tan(Emitter& e, Vec x);  ///< 4e-7, as sin
Vec atan2(Emitter& e, Vec y, Vec x);  ///< 4e-7; Cephes atanf; signed zeros and infinities as C
Vec fmod(Emitter& e, Vec a, Vec b);   ///< exact; sign of a

}  // namespace kiln::math
