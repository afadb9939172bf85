#include "jit/kernels/reduce_wide.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

using integer::Wide;
using Sizes = std::vector<int64_t>;

class WideReduce {
 public:
  WideReduce(Emitter& emitter, const ReduceSpec& spec) : e_(emitter), s_(spec), size_(size_of(spec.dtype)) {}

  /// Computes a result in each of `lanes`. Their elements are `stride` apart, from `in` on (0: all read the same
  /// element).
  Wide fold(Int in, const Sizes& dims, const Sizes& strides, int64_t stride, int lanes) {
    const bool counts = s_.kind == ReduceKind::argmax || s_.kind == ReduceKind::argmin;
    const Wide best = start(in, stride, lanes);
    const Vec index = splat(0), best_index = splat(0), one = splat(1);
    Sizes bytes;
    for (const int64_t st : strides) bytes.push_back(st * size_);
    nest(e_, dims, {in}, {bytes}, 0, [&] {
      const Wide x = load({in, 0}, stride, lanes);
      if (!counts) return combine(best, x);
      const Vec better = beats(x, best);
      set(best, integer::select(e_, better, x, best));
      e_.select(best_index, better, index, best_index);
      e_.op(VecBinary::i32_add, index, index, one);
    });
    return counts ? integer::from_i32(e_, best_index) : best;
  }

  /// Computes one result, in every lane. Lanes run along `row`, in vectors and a rest.
  Wide fold_row(Int in, size_t row) {
    const int w = e_.width();
    Sizes dims = s_.reduced, strides = s_.in_reduced;
    const int64_t run = dims[row], left = run % w;
    dims[row] = run / w;
    strides[row] = w;
    const Wide sum = fold(in, dims, strides, 1, w);
    for (int distance = w / 2; distance >= 1; distance /= 2) {
      const Wide turned{e_.vec(), e_.vec()};
      e_.rotate(turned.low, sum.low, distance);
      e_.rotate(turned.high, sum.high, distance);
      combine(sum, turned);
    }
    if (left == 0) return sum;
    dims[row] = left;
    strides[row] = 1;
    add(e_, in, in, (run - left) * size_);
    combine(sum, fold(in, dims, strides, 0, w));
    return sum;
  }

 private:
  Vec splat(int32_t v) {
    const Vec r = e_.vec();
    e_.splat_i32(r, v);
    return r;
  }
  void set(const Wide& to, const Wide& from) {
    e_.set(to.low, from.low);
    e_.set(to.high, from.high);
  }
  Wide load(Mem at, int64_t stride, int lanes) {
    if (is_pair(lane_of(s_.dtype))) return load_strided(e_, at, s_.dtype, Lane::i64, stride, lanes);
    const Vec v = load_strided(e_, at, s_.dtype, stride, lanes);
    if (s_.dtype == DType::boolean) e_.op(VecBinary::and_, v, v, splat(1));
    return integer::from_i32(e_, v);
  }
  /// The initial value of a fold.
  Wide start(Int in, int64_t stride, int lanes) {
    const bool total = s_.kind == ReduceKind::sum || s_.kind == ReduceKind::prod;
    const Wide v{e_.vec(), e_.vec()};
    set(v, total ? integer::constant(e_, s_.kind == ReduceKind::prod) : load({in, 0}, stride, lanes));
    return v;
  }
  Vec beats(const Wide& x, const Wide& best) {
    const bool greatest = s_.kind == ReduceKind::max || s_.kind == ReduceKind::argmax;
    return integer::compare(e_, greatest ? Compare::gt : Compare::lt, x, best);
  }
  void combine(const Wide& into, const Wide& x) {
    switch (s_.kind) {
      case ReduceKind::sum:
        return set(into, integer::add(e_, into, x));
      case ReduceKind::prod:
        return set(into, integer::multiply(e_, into, x));
      default:
        return set(into, integer::select(e_, beats(x, into), x, into));
    }
  }

  Emitter& e_;
  const ReduceSpec& s_;
  int64_t size_;
};

}  // namespace

void emit_wide_unit(Emitter& e, const ReduceSpec& s, size_t lane_dim, size_t row_dim, int64_t run) {
  const Int out = e.param(1), in = e.integer();
  WideReduce reduce(e, s);
  if (lane_dim == SIZE_MAX && row_dim != SIZE_MAX && s.reduced[row_dim] >= e.width()) {
    e.set(in, e.param(2));
    return store_strided(e, {out, 0}, reduce.fold_row(in, row_dim), DType::i64, Lane::i64, 1, 1);
  }
  const int64_t stride = lane_dim == SIZE_MAX ? 1 : s.out_kept[lane_dim];
  for (int64_t at = 0; at < run; at += e.width()) {
    const auto lanes = static_cast<int>(std::min<int64_t>(e.width(), run - at));
    add(e, in, e.param(2), at * size_of(s.dtype));
    const Wide v = reduce.fold(in, s.reduced, s.in_reduced, 1, lanes);
    store_strided(e, {out, at * stride * 8}, v, DType::i64, Lane::i64, stride, lanes);
  }
}

}  // namespace kiln
